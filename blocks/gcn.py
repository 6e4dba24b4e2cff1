"""Credentials of NASA's General Coordinates Network."""

from __future__ import annotations

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

TOKEN_URL = "https://auth.gcn.nasa.gov/oauth2/token"  # noqa: S105 - an address, not a token


class GcnCredentials(Block):
    """Client credentials of GCN, and the addresses of its brokers."""

    _block_type_name: ClassVar[str | None] = "GCN credentials"
    _block_type_slug: ClassVar[str | None] = "gcn"
    _description: ClassVar[str | None] = "Client credentials of NASA's General Coordinates Network."

    client_id: str = Field(description="Client id, from gcn.nasa.gov/quickstart.")
    client_secret: SecretStr = Field(description="Client secret.")
    domain: str = Field(default="gcn.nasa.gov", description="gcn.nasa.gov, or test.gcn.nasa.gov for the test broker.")
    group_id: str = Field(
        default="brightsiren", description="Consumer group, under which the broker stores offsets. One per deployment."
    )

    def configuration(self) -> dict[str, str | bool]:
        """Return the settings of a Kafka consumer; they contain the secret, so keep them out of logs."""
        hosts = ["kafka", "kafka1", "kafka2", "kafka3"]
        return {
            "bootstrap.servers": ",".join(f"{host}.{self.domain}:9092" for host in hosts),
            "security.protocol": "sasl_ssl",
            "sasl.mechanisms": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": self.client_id,
            "sasl.oauthbearer.client.secret": self.client_secret.get_secret_value(),
            "sasl.oauthbearer.token.endpoint.url": TOKEN_URL.replace("gcn.nasa.gov", self.domain),
            "group.id": self.group_id,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
