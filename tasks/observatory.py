"""Places of an observatory and the slots of its workers, read from its block."""

from __future__ import annotations

import os
from typing import cast

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks import Cluster, Observatory
from tasks.records import Places
from tasks.runtime import ClusterSpec


@task(cache_policy=NO_CACHE, task_run_name="places-{observatory}")
def places(observatory: str) -> Places:
    """Read an observatory's places from its block."""
    block = cast("Observatory", Observatory.load(observatory))
    return Places(telescope=block.telescope, **block.paths())


@task(cache_policy=NO_CACHE, task_run_name="slots-{cluster}")
def slots(cluster: str) -> ClusterSpec:
    """Read from its block which cluster to join or to start."""
    block = cast("Cluster", Cluster.load(cluster))
    gib = block.memory_gib
    return ClusterSpec(
        address=block.address or None,
        cpu_slots=block.cpus or os.cpu_count() or 1,
        gpu_slots=block.gpus,
        shared=block.shared,
        memory_limit=f"{gib}GiB" if gib else "auto",
    )
