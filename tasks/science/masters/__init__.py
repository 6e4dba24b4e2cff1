"""Masters: which frames make them, their quality, and borrowing from other nights."""
