"""HTML pages of events and nights, and their pictures."""
