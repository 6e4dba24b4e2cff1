"""Folders of an observatory and slots of its workers, read from Prefect blocks."""

from __future__ import annotations

import os
from typing import cast

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks import Cluster, Observatory
from tasks.records import Blocks, Home, Places
from tasks.runtime import ClusterSpec


@task(cache_policy=NO_CACHE, task_run_name="places-{blocks.observatory}")
def places(blocks: Blocks) -> Places:
    """Read an observatory's folders, catalogues and telescope from its block."""
    block = cast("Observatory", Observatory.load(blocks.observatory))
    return Places(telescope=block.telescope, **block.paths())


@task(cache_policy=NO_CACHE, task_run_name="home-{blocks.observatory}")
def home(blocks: Blocks) -> Home:
    """Read the location of an observatory's events, messages and uploads from its block."""
    block = cast("Observatory", Observatory.load(blocks.observatory))
    return Home(root=block.paths()["alert_root"], registry=blocks.registry, slack=blocks.slack, store=blocks.store)


@task(cache_policy=NO_CACHE, task_run_name="map-servers-{blocks.observatory}")
def map_servers(blocks: Blocks) -> str:
    """Read the list of servers from which sky maps may be fetched from an observatory's block."""
    return cast("Observatory", Observatory.load(blocks.observatory)).map_servers


@task(cache_policy=NO_CACHE, task_run_name="slots-{blocks.cluster}")
def slots(blocks: Blocks) -> ClusterSpec:
    """Read the cluster to join or start from its block."""
    block = cast("Cluster", Cluster.load(blocks.cluster))
    gib = block.memory_gib
    return ClusterSpec(
        address=block.address or None,
        cpu_slots=block.cpus or os.cpu_count() or 1,
        gpu_slots=block.gpus,
        shared=block.shared,
        memory_limit=f"{gib}GiB" if gib else "auto",
    )
