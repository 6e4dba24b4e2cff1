"""The Treasure Map: pointings of all observatories for gravitational-wave events."""

from __future__ import annotations

from typing import ClassVar

import requests
from prefect.blocks.core import Block
from pydantic import Field, SecretStr


class TreasureMap(Block):
    """Token and address of the Treasure Map."""

    _block_type_name: ClassVar[str | None] = "Treasure Map"
    _block_type_slug: ClassVar[str | None] = "treasuremap"
    _description: ClassVar[str | None] = "Pointings of all observatories for an event."

    token: SecretStr = Field(default=SecretStr(""), description="Token of the user's account. Empty: not used.")
    url: str = Field(default="https://treasuremap.space/api/v1", description="Address of its API.")

    def client(self) -> requests.Session | None:
        """Return a session that sends the token with every request, or None without a token."""
        token = self.token.get_secret_value()
        if not token:
            return None
        session = requests.Session()
        # the API takes its token as a query parameter
        session.params = {"api_token": token}
        return session
