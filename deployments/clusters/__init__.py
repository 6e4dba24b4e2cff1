"""Dask cluster specifications."""
