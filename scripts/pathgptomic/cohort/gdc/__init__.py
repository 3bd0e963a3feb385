"""Cohorts from the NCI Genomic Data Commons: lock, fetch, and read into the tables that any source hands over."""
