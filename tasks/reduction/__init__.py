"""Prefect tasks of the night's stages: masters, calibration, astrometry, stacks, candidates."""
