"""Tables of stars and galaxies, as files."""
