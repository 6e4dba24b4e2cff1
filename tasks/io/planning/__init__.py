"""Tables of plans and lists of pointings, as files."""
