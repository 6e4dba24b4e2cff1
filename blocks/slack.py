"""The Slack workspace that receives our messages."""

from __future__ import annotations

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr
from slack_sdk import WebClient

TIMEOUT_S = 15


class SlackWorkspace(Block):
    """A bot's token and its channels; without a token, messages are written to files."""

    _block_type_name: ClassVar[str | None] = "Slack workspace"
    _block_type_slug: ClassVar[str | None] = "slack"
    _description: ClassVar[str | None] = "Workspace for messages about events, nights and problems."

    token: SecretStr = Field(
        default=SecretStr(""),
        description="Bot token (xoxb-…) with chat:write, files:write and channels:history. Empty: messages are written to files.",
    )
    channel_gw: str = Field(default="", description="Channel id of significant gravitational-wave events.")
    channel_grb: str = Field(default="", description="Channel id of bursts and transients. Empty: that of events.")
    channel_low_significance: str = Field(
        default="", description="Channel id of events of low significance. Empty: test."
    )
    channel_test: str = Field(default="", description="Channel id of tests and mock events. Empty: operators.")
    channel_operators: str = Field(default="", description="Channel id of messages for operators.")
    url: str = Field(default="https://slack.com/api/", description="Address of Slack's API.")
    signing_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Signing secret: proves that a press of a button comes from Slack. No default.",
    )
    app_token: SecretStr = Field(
        default=SecretStr(""), description="App token (xapp-…) of Socket Mode, if Slack cannot reach this machine."
    )
    planners: str = Field(
        default="", description="User ids of those who may run and cancel plans, separated by commas."
    )
    reviewers: str = Field(
        default="", description="User ids of those who may only mark events as under review or mute them."
    )

    def client(self) -> WebClient | None:
        """Return a ready client, or None without a token.

        The client does not retry: a retry unknown to the outbox may send a message twice.
        """
        token = self.token.get_secret_value()
        if not token:
            return None
        return WebClient(token=token, base_url=self.url, timeout=TIMEOUT_S, retry_handlers=[])

    def hears(self) -> bool:
        """Return whether presses of buttons can reach us; otherwise messages have no buttons."""
        return bool(self.signing_secret.get_secret_value() or self.app_token.get_secret_value())

    def allowed(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the user ids of planners, and of all who may mark events: reviewers and planners."""
        planners, reviewers = (
            frozenset(name.strip() for name in people.split(",") if name.strip())
            for people in (self.planners, self.reviewers)
        )
        return planners, planners | reviewers

    def channels(self) -> dict[str, str]:
        """Return the channels by audience; tests never fall back to a channel of real events."""
        test = self.channel_test or self.channel_operators
        chosen = {
            "gw": self.channel_gw,
            "grb": self.channel_grb or self.channel_gw,
            "low-significance": self.channel_low_significance or test,
            "test": test,
            "operators": self.channel_operators or test,
        }
        return {audience: channel for audience, channel in chosen.items() if channel}
