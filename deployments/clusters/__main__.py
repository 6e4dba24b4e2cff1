"""Print the commands of a cluster: ``python -m deployments.clusters observatory``."""

from __future__ import annotations

import sys

from deployments.clusters import main

main(sys.argv[1:])
