"""Survival stage: fusion network, balanced training, baselines and predictions."""
