"""Prefect tasks that plan: aims, claims, leases and tile plans."""
