"""Cohort stage: from the GDC or from tables to one checked, patient-level cohort and its splits."""
