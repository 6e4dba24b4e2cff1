"""Detecting and measuring sources: apertures, deblending, shapes, stars."""
