"""An observatory's places: where frames arrive, where products go, which catalogues and references it uses."""

from __future__ import annotations

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field


class Observatory(Block):
    """Where an observatory keeps its frames, products, catalogues and references."""

    _block_type_name: ClassVar[str] = "Siren observatory"
    _block_type_slug: ClassVar[str] = "observatory"
    _description: ClassVar[str] = "Where an observatory keeps its frames, products, catalogues and references."

    raw_root: str = Field(default="obsdata", description="Folder with one folder of raw nights per unit.")
    product_root: str = Field(default="products", description="Folder of the night river's products.")
    alert_root: str = Field(default="alerts", description="Folder of notices, sky maps, plans and event pages.")
    references: str = Field(default="references", description="Folder of reference images, one folder per filter.")
    astrometric_catalogue: str = Field(
        default="catalogues/astrometric.ldac.fits", description="LDAC file of stars that SCAMP solves against."
    )
    photometric_catalogue: str = Field(
        default="catalogues/photometric.fits", description="Table of stars with magnitudes, for the zero points."
    )
    telescope: str = Field(default="7DT", description="Name of the telescope, as in its file.")
