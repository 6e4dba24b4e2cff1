"""FITS images, raw frames and masters, as files."""
