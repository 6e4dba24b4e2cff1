"""A night's accounting: frames, folders, timings."""
