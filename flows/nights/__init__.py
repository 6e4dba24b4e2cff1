"""The night river: watch a folder, calibrate, reduce, stack, search."""
