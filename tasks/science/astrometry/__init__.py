"""Astrometry, from detections to a WCS: pointing, matching, checks."""
