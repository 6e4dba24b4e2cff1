"""Links to public pages about an event."""

from __future__ import annotations

import re
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, field_validator

PLACEHOLDERS = ("id", "mission", "time")


class PublicLinks(Block):
    """Templates of the links in messages and on pages; an empty template gives no link."""

    _block_type_name: ClassVar[str | None] = "Public links"
    _block_type_slug: ClassVar[str | None] = "links"
    _description: ClassVar[str | None] = "Templates of links, with {id}, {mission} and {time} of the event."

    skyportal_gw: str = Field(
        default="https://skyportal-icare.ijclab.in2p3.fr/gcn_events/{time}",
        description="SkyPortal's page of a gravitational-wave event.",
    )
    skyportal_grb: str = Field(
        default="https://skyportal-icare.ijclab.in2p3.fr/source/{id}", description="SkyPortal's page of a burst."
    )
    gracedb: str = Field(
        default="https://gracedb.ligo.org/superevents/{id}/view/", description="GraceDB's page of an event."
    )
    gcn: str = Field(default="https://gcn.nasa.gov/circulars?query={id}", description="GCN circulars about an event.")

    @field_validator("skyportal_gw", "skyportal_grb", "gracedb", "gcn")
    @classmethod
    def _known_placeholders(cls, template: str) -> str:
        unknown = set(re.findall(r"{([^{}]*)}", template)) - set(PLACEHOLDERS)
        if unknown or (template and not template.startswith(("https://", "http://"))):
            raise ValueError(f"an address https://… with no other placeholders than {', '.join(PLACEHOLDERS)}")
        return template

    def templates(self, kind: str) -> dict[str, str]:
        """Return the templates for a kind of event, ``gw`` or ``grb``, by label."""
        of_gw = {"GraceDB": self.gracedb, "SkyPortal": self.skyportal_gw, "GCN": self.gcn}
        of_grb = {"SkyPortal": self.skyportal_grb, "GCN": self.gcn}
        return {label: template for label, template in (of_gw if kind == "gw" else of_grb).items() if template}
