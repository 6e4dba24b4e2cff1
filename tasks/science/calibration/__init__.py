"""Calibration of lights from raw counts: correction, cosmic rays, fringes, artefacts."""
