"""The store for plans, maps and pages."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, field_validator
from webdav3.client import Client

from blocks import default_places

TIMEOUT_S = 30


class ProductStore(Block):
    """A WebDAV server such as ownCloud, or a folder."""

    _block_type_name: ClassVar[str | None] = "Product store"
    _block_type_slug: ClassVar[str | None] = "store"
    _description: ClassVar[str | None] = "A WebDAV server or a folder that takes plans, maps and pages."

    url: str = Field(default="", description="Address of the user's WebDAV root. Empty: a folder on this machine.")
    user: str = Field(default="", description="User of the WebDAV server.")
    password: SecretStr = Field(default=SecretStr(""), description="Password, or better an app password.")
    root: str = Field(default="", description="Folder on the server, or on this machine, of all uploads.")
    public_url: str = Field(
        default="", description="Public address, to which the path of a file is appended. Empty: no links."
    )

    @field_validator("url")
    @classmethod
    def _no_credentials(cls, url: str) -> str:
        if url and (not url.startswith(("https://", "http://")) or "@" in url):
            raise ValueError("an address https://host/path without user and password: these have their own fields")
        return url.rstrip("/")

    def client(self) -> Client | None:
        """Return a ready client, or None if the store is a folder."""
        if not self.url:
            return None
        return Client(
            {
                "webdav_hostname": self.url,
                "webdav_login": self.user,
                "webdav_password": self.password.get_secret_value(),
                "webdav_timeout": TIMEOUT_S,
            }
        )

    def folder(self) -> Path:
        """Return the folder used as the store if there is no server."""
        return Path(self.root).expanduser() if self.root else default_places.home() / "store"
