"""Single-cell stage: a labelled reference and its mix-up pseudo-bulk."""
