"""Prefect tasks that join the rivers: observed tiles of an event, and the ranking of a night's candidates."""
