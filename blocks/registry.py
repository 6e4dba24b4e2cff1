"""Address of the registry."""

from __future__ import annotations

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks import default_places


class RegistryDatabase(Block):
    """The database of notices, decisions, plans and the outbox."""

    _block_type_name: ClassVar[str | None] = "Registry database"
    _block_type_slug: ClassVar[str | None] = "registry"
    _description: ClassVar[str | None] = "SQLite by default, PostgreSQL by address."

    url: SecretStr = Field(
        default=SecretStr(""),
        description="sqlite:////path/to/file or postgresql://user:password@host/name. Empty: a file in the default folder.",
    )

    def address(self) -> str:
        """Return the database's address; it may contain a password, so keep it out of logs and parameters."""
        given = self.url.get_secret_value()
        return given or f"sqlite:///{default_places.home() / 'registry.sqlite'}"
