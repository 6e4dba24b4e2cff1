"""Detection and measurement of an image's sources by the engine that the options name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.io.catalogues import detection_tables, ldac
from tasks.options import ReduceOptions
from tasks.programs import source_extractor
from tasks.science.photometry import own_extractor
from tasks.science.photometry.image_photometry import Extract, Extracted


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """An image as Source Extractor reads it: with flags, an optional weight, and earlier ``detections``."""

    image: Path
    flags: Path
    weight: Path | None = None
    detections: Path | None = None


def extractor(
    files: ImageFiles, pixels: own_extractor.Image, options: ReduceOptions, *, folder: Path, timeout_s: float
) -> Extract:
    """Return a function that measures one image, by Source Extractor (a folder for each pass) or in this process.

    A pass for shapes alone is skipped if ``detections`` hold them: same thresholds, same pixels.
    """
    if options.photometry_engine == "sep":
        return own_extractor.extractor(pixels, options)
    common = source_extractor.Options(
        scale_arcsec=pixels.scale_arcsec,
        detect_threshold=options.detect_threshold,
        weight=files.weight,
        flags=files.flags,
        timeout_s=timeout_s,
    )

    def extract(*, seeing_arcsec: float, diameters_px: tuple[float, ...] = ()) -> Extracted:
        if not diameters_px and files.detections is not None:
            table, sky_adu, sky_sigma_adu = detection_tables.read(files.detections)
            return Extracted(table=table, sky_adu=sky_adu, sky_sigma_adu=sky_sigma_adu)
        wanted = source_extractor.of_pass(common, seeing_arcsec=seeing_arcsec, diameters_px=diameters_px)
        result = source_extractor.extract(files.image, folder / f"pass-{len(diameters_px)}", wanted)
        return Extracted(table=ldac.read(result.catalogue), sky_adu=result.sky_adu, sky_sigma_adu=result.sky_sigma_adu)

    return extract
