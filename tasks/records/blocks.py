"""Names of Prefect blocks, and the location of the alert river's state; no secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as options_record


@options_record(config=ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True), kw_only=True)
class Blocks:
    """Names of the Prefect blocks with a flow's folders and credentials."""

    observatory: str = "observatory"
    """Block with the observatory's folders, catalogues and telescope."""

    cluster: str = "cluster"
    """Block with the Dask cluster."""

    registry: str = "registry"
    """Block with the registry's database; empty: a file in the folder of alerts."""

    slack: str = "slack"
    """Block with the Slack workspace; empty: messages are written to a folder."""

    store: str = "store"
    """Block with the product store; empty: a folder in the folder of alerts."""

    treasure_map: str = "treasuremap"
    """Block with the Treasure Map's token, for plans whose options ask for it."""


LOCAL = Blocks(registry="", slack="", store="")
"""Everything under the observatory's own folders: no database server, no Slack, no remote store."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Location of events, messages and uploads: a folder, and the blocks of registry, Slack and store.

    An empty name means under ``root``: the file ``registry.sqlite``, the folder ``outbox`` of rendered messages, the
    folder ``store`` of products.
    """

    root: Path
    registry: str = ""
    slack: str = ""
    store: str = ""
