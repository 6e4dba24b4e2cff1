"""Notices and decisions: assembly, coincidences, policy variables, positions."""
