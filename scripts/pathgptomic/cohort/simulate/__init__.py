"""Simulated TCGA-like cohorts whose truth is known: risk is planted in named places and written down."""
