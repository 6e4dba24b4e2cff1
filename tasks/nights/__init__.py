"""Prefect tasks of a night as a whole: folders, journal, report, stage results, housekeeping."""
