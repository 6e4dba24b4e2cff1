"""The Dask cluster that a night runs on."""

from __future__ import annotations

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field


class Cluster(Block):
    """A Dask cluster to join, or the slots of one to start on the machine of the flow."""

    _block_type_name: ClassVar[str] = "Siren cluster"
    _block_type_slug: ClassVar[str] = "cluster"
    _description: ClassVar[str] = "A Dask cluster to join, or the slots of one to start."

    address: str | None = Field(
        default=None, description="Address of a Dask scheduler, such as tcp://host:8786; none starts a cluster."
    )
    cpu_slots: int = Field(default=2, ge=1, description="CPU slots of a cluster that is started here.")
    gpu_slots: int = Field(default=1, ge=1, description="GPU slots of a cluster that is started here.")
