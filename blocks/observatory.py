"""Folders and catalogues of an observatory."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field

from blocks import default_places


class Observatory(Block):
    """Folders, catalogues and the name of the telescope."""

    _block_type_name: ClassVar[str | None] = "Observatory"
    _block_type_slug: ClassVar[str | None] = "observatory"
    _description: ClassVar[str | None] = "Folders of raw frames, products, alerts; catalogues and references."

    telescope: str = Field(default="7DT", description="Name of the telescope's description.")
    raw_root: str = Field(default="", description="Folder of raw frames: <unit>/<night>_gain<setting>/.")
    product_root: str = Field(default="", description="Folder of reduced images, stacks, candidates, night pages.")
    alert_root: str = Field(default="", description="Folder of notices, sky maps, plans, event pages.")
    astrometric_catalogue: str = Field(
        default="", description="LDAC file of reference positions, or folder of the cells that `siren gaia` fetches."
    )
    photometric_catalogue: str = Field(
        default="", description="FITS table of reference magnitudes, or a folder of such tables by cell of the sky."
    )
    references: str = Field(default="", description="Folder of reference images: <filter>/ref_….fits.")
    map_servers: str = Field(
        default="heasarc.gsfc.nasa.gov, gcn.nasa.gov, roc.icecube.wisc.edu, guano.swift.psu.edu",
        description="Servers, with commas between, from which sky maps are fetched that a notice gives by address: "
        "name or name:port; - for none.",
    )

    def paths(self) -> dict[str, Path]:
        """Return all paths by field name; paths that are not set are under ``default_places.home()``."""
        home = default_places.home()
        defaults = {
            "raw_root": home / "raw",
            "product_root": home / "products",
            "alert_root": home / "alerts",
            "astrometric_catalogue": home / "catalogues" / "astrometric.ldac.fits",
            "photometric_catalogue": home / "catalogues" / "photometric.fits",
            "references": home / "references",
        }
        return {
            name: Path(str(getattr(self, name))).expanduser().absolute() if getattr(self, name) else default
            for name, default in defaults.items()
        }
