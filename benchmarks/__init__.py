"""The performance suite: each step is timed against its peer in one run on the same bytes, after an equality check."""

import sys
from pathlib import Path

# star fields and brokers come from the tests, whose modules import each other from the folder tests
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
