"""Sky maps as files: flat, multi-order, compressed."""
