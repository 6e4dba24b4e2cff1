"""Prefect tasks that join the rivers: what a night observed, and how its candidates rank."""
