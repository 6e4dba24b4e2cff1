"""Header cards: of raw frames, and provenance cards of products."""
