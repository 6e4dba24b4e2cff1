"""Prefect tasks of the alert river: triage, registration, coincidences, reconciling."""
