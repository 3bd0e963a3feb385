# Thin targets: each sets the environment up if needed and hands over to Snakemake, pytest or a linter.
PYTHON ?= python3
SHARED ?= ../shared
CORES ?= $(shell nproc)
BASE ?= python:3.11-slim-bookworm
DEVICE ?= any
STAGES ?=
SLIDES ?=
OUT ?= results/slides
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test cluster environments kills containers lint bench real features docs clean

demo: $(READY)
	snakemake --cores $(CORES) --rerun-incomplete --configfile config/demo.yaml
	@cat results/demo/report/summary.txt
	@echo "Report: $(CURDIR)/results/demo/report/report.html"

test: $(READY)
	python -m pytest

cluster: $(READY)
	python -m pytest -v -rs -m "cluster or not cluster" tests/cluster

environments: $(READY)
	python -m pytest -v -rs -m "environments or not environments" tests/environments

kills: $(READY)
	python -m pytest -v -rs -s -m kills tests/workflow

containers: $(READY)
	python containers/build.py --base $(BASE) --device $(DEVICE) $(STAGES)

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	snakemake --lint

bench: $(READY)
	python -m tests.benchmarks

real: $(READY)
	snakemake --cores $(CORES) --rerun-incomplete --configfile config/real.yaml --config data_root=$(SHARED)/data
	@cat results/tcga-gbmlgg/report/summary.txt results/tcga-kirc/report/summary.txt

features: $(READY)
	PYTHONPATH=scripts python -m pathgptomic.slides $(SLIDES) --out $(OUT) --threads $(CORES)

docs: $(READY)
	PYTHONPATH=scripts python -m pathgptomic.reference

$(READY): $(wildcard envs/*.yaml) envs/install.py
	$(PYTHON) envs/install.py $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) results resources logs benchmarks .snakemake
