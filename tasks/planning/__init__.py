"""Prefect tasks for planning: targets, claims, leases and tile plans."""
