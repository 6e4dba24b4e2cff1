"""Thin Prefect tasks (get, run, put) over pure science, programs, files and the registry."""
