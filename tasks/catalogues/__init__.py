"""Prefect tasks that fetch reference catalogues and cut them into cells."""
