"""Alerts: assembly from notices, best positions, coincidences, decisions."""
