"""The Dask cluster of heavy tasks."""

from __future__ import annotations

from typing import Any, ClassVar

from prefect.blocks.core import Block
from pydantic import Field


class Cluster(Block):
    """A Dask scheduler's address, or the slots of a cluster on this machine."""

    _block_type_name: ClassVar[str | None] = "Cluster"
    _block_type_slug: ClassVar[str | None] = "cluster"
    _description: ClassVar[str | None] = "A Dask scheduler, or slots on this machine."

    address: str = Field(default="", description="tcp://host:8786 of a running scheduler. Empty: a local cluster.")
    cpus: int = Field(default=0, ge=0, le=1024, description="CPU slots of a local cluster. 0: one per core.")
    gpus: int = Field(
        default=1,
        ge=1,
        le=64,
        description="GPU slots of a local cluster, one worker each; without a GPU they use NumPy.",
    )
    shared: bool = Field(
        default=False,
        description="Local workers hold slots of both kinds: fewer processes, for a machine without a GPU.",
    )
    memory_gib: float = Field(default=0.0, ge=0.0, description="Memory of a local worker, in GiB. 0: an equal share.")

    def specification(self) -> dict[str, Any]:
        """Return the fields as plain values, to start or join the cluster."""
        return {
            "address": self.address or None,
            "cpus": self.cpus or None,
            "gpus": self.gpus,
            "shared": self.shared,
            "memory_gib": self.memory_gib or None,
        }
