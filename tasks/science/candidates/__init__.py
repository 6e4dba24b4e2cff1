"""Candidates, from a difference image to a ranking."""
