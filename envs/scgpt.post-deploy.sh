#!/usr/bin/env bash
# Snakemake runs this in the finished environment of scgpt.yaml.
set -euo pipefail
python -m pip install --no-deps scgpt==0.2.4
