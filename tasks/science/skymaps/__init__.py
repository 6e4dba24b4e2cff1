"""Sky maps: credible regions, distances, footprints, coverage."""
