"""The performance suite: each of our steps against its peer, in one run, on the same bytes, behind an equality gate."""

import sys
from pathlib import Path

# star fields and brokers are those of the tests, which import one another from their own folder
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
