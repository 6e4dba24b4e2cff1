"""From a difference image to ranked candidates."""
