"""The performance suite: each of our steps against its peer, in one run, on the same bytes, behind an equality gate."""
