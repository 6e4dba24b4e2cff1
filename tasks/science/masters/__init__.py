"""Masters: selection of frames, quality, borrowing from other nights."""
