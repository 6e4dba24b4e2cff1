"""Names and paths of the night river: units, nights, images and their planes, masters, catalogues, reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from tasks.errors import UnusableData
from tasks.naming import slugs

UNIT_NAME = re.compile(r"[0-9]?[A-Za-z]{2,8}\d{2}")
JOINT_NAME = re.compile(r"[0-9]?[A-Za-z]{2,8}")
FILTER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,7}")
NIGHT_FOLDER = re.compile(r"(\d{4}-\d{2}-\d{2})(_ToO)?_gain(\d+)")
# endings of raw frames, in any case: plain, compressed, or by fpack
RAW_ENDINGS = tuple(
    f"{ending}{packing}" for ending in (".fits", ".fit", ".fts") for packing in ("", ".fz", ".gz", ".bz2", ".xz")
)
# names that every program takes: Source Extractor reads commas as lists and brackets as extensions
PLAIN_NAME = re.compile(r"[A-Za-z0-9._+-]{1,100}")
# a calibrated single frame; OBJECT may hold underscores in products of others, stacks and planes have more suffixes
IMAGE_NAME = re.compile(
    r"calib_(?P<unit>[0-9]?[A-Za-z]{2,8}\d{2})_(?P<object>.+)_(?P<moment>\d{8}_\d{6})_(?P<filter>[A-Za-z][A-Za-z0-9]*)"
    r"_(?P<exposure>\d+(\.\d+)?(e[+-]?\d+)?)\.fits"
)
DEFAULT_GAIN_SETTING = 2750
# one folder for all products of lights, whatever binning and gain: the name that 7DT's observers look for
PROCESSED = f"processed_1x1_gain{DEFAULT_GAIN_SETTING}"
# a night's label begins at 15 h UTC, in the daytime of Chile
NIGHT_BEGINS = timedelta(hours=15)
# HEALPix order of the cells of a reference catalogue
CELL_ORDER = 5


@dataclass(frozen=True, kw_only=True)
class ImageName:
    """The parts of a calibrated image's name."""

    unit: str
    object: str
    filter: str
    date_obs: datetime


def object_slugs(objects: Iterable[str]) -> frozenset[str]:
    """Return the slugs of objects or tiles given by a user; a number is a tile (123 is ``T00123``)."""
    return frozenset(slugs.slug(f"T{int(each):05d}" if each.isdecimal() else each) for each in objects)


def unit(text: str) -> str:
    """Check a unit's name (``7DT01``): an optional digit, two to eight letters, two digits."""
    if not UNIT_NAME.fullmatch(text):
        raise UnusableData(f"unit name {text!r} is not of the form 7DT01: letters and two digits")
    return text


def joint_unit(units: Iterable[str], *, always: bool = False) -> str:
    """Return the name for joint products of several units: ``7DT``, without number; of one unit only if ``always``."""
    names = sorted({unit(name) for name in units})
    return names[0] if len(names) == 1 and not always else names[0][:-2]


def unit_list(units: Iterable[str]) -> str:
    """Return units' names in a form that fits the 68 characters of a card: ``7DT01,02,05``."""
    names = sorted(units)
    return ",".join([names[0], *(name[-2:] for name in names[1:])]) if names else ""


def filter_name(text: str) -> str:
    """Check a filter's name: a letter, then up to seven letters or digits."""
    if not FILTER_NAME.fullmatch(text):
        raise UnusableData(f"filter name {text!r} is not a letter followed by at most seven letters or digits")
    return text


def night_folder(night: date, *, gain_setting: int = 2750, too: bool = False) -> str:
    """Return the name of a raw night folder: ``2026-01-15_gain2750`` or ``2026-01-15_ToO_gain2750``."""
    return f"{night.isoformat()}{'_ToO' if too else ''}_gain{gain_setting}"


def parse_night_folder(name: str) -> tuple[date, bool, int]:
    """Parse a raw night folder's name: night, whether it is a target of opportunity, gain setting."""
    match = NIGHT_FOLDER.fullmatch(name)
    if match is None:
        raise UnusableData(f"folder {name!r} is not a night: expected YYYY-MM-DD_gainN or YYYY-MM-DD_ToO_gainN")
    try:
        night = date.fromisoformat(match[1])
    except ValueError as error:
        raise UnusableData(f"folder {name!r} is not a night: {match[1]} is no date") from error
    return night, match[2] is not None, int(match[3])


def night_of(date_obs: datetime) -> date:
    """Return the night of a time, as the date of its evening: the date of UTC - 15 h, the convention of 7DT."""
    return (date_obs.astimezone(UTC) - NIGHT_BEGINS).date()


def exposure_text(exposure_s: float) -> str:
    """Format an exposure time in s: an integer if it is one (``100``), else with a decimal point (``7.5``)."""
    return f"{exposure_s:g}"


def cell_file(cell: int) -> str:
    """Return the name of the file with the stars of one cell of the reference catalogue."""
    return f"gaia-dr3-{CELL_ORDER}-{cell:05d}.ldac.fits"


def batch_ledger(object_: str, filter_: str, names: Iterable[str]) -> str:
    """Return the name of the ledger file of a batch of frames, solved and rejected ones."""
    return "_".join((slugs.slug(object_), filter_name(filter_), slugs.hashed("\n".join(sorted(names))))) + ".txt"


def image_stem(object_name: str, unit_name: str, filter_: str, date_obs: datetime, exposure_s: float) -> str:
    """Return the stem of a calibrated image's name: ``calib_<UNIT>_<OBJECT>_<YYYYMMDD>_<HHMMSS>_<filter>_<exptime>``."""
    return f"calib_{unit_name}_{slugs.slug(object_name)}_{date_obs:%Y%m%d_%H%M%S}_{filter_}_{exposure_text(exposure_s)}"


def stack_variant(*, with_sky: bool, centre_deg: tuple[float, float] | None) -> str:
    """Return the suffix of a stack that differs from the usual one of its frames: with sky, or with another centre."""
    moved = f".at{centre_deg[0]:.4f}{centre_deg[1]:+.4f}" if centre_deg else ""
    return f"{moved}{'.sky' if with_sky else ''}"


def parse_image(name: str) -> ImageName:
    """Parse an image's name (see ``image_stem``); raises ``UnusableData`` for another form."""
    match = IMAGE_NAME.fullmatch(name)
    if match is None:
        raise UnusableData(f"{name!r} is not of the form calib_<UNIT>_<OBJECT>_<date>_<time>_<filter>_<exposure>.fits")
    try:
        moment = datetime.strptime(match["moment"], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise UnusableData(f"{name!r} has an impossible date or time: {match['moment']}") from error
    return ImageName(unit=match["unit"], object=match["object"], filter=match["filter"], date_obs=moment)


def is_raw(name: str) -> bool:
    """Return whether a file's name is that of a raw frame."""
    return name.lower().endswith(RAW_ENDINGS)


def raw_product(name: str) -> str:
    """Return the name of the product of a raw frame: always ``.fits``, and of characters that every program takes.

    A name with others is shortened to those, with a hash, so that different frames have different products.
    """
    ending = max((each for each in RAW_ENDINGS if name.lower().endswith(each)), key=len, default="")
    stem = name[: len(name) - len(ending)]
    if PLAIN_NAME.fullmatch(stem) and not stem.startswith("-"):
        return f"fdz{stem}.fits"
    return f"fdz{slugs.slug(stem)}-{slugs.hashed(stem)[:8]}.fits"


def variance_of(image: Path) -> Path:
    """Return the variance plane beside an image."""
    return image.with_name(image.name.removesuffix(".fits") + ".var.fits")


def mask_of(image: Path) -> Path:
    """Return the mask plane beside an image."""
    return image.with_name(image.name.removesuffix(".fits") + ".mask.fits")


def detections_of(image: Path) -> Path:
    """Return the table of detections beside a solved image."""
    return image.with_name(image.name.removesuffix(".fits") + ".detections.fits")


def weight_of(image: Path) -> Path:
    """Return the weight map beside a stack."""
    return image.with_name(image.name.removesuffix(".fits") + ".weight.fits")


def number_of(image: Path) -> Path:
    """Return the map of the number of frames beside a stack."""
    return image.with_name(image.name.removesuffix(".fits") + ".number.fits")


def psf_of(image: Path) -> Path:
    """Return the PSF beside an image."""
    return image.with_name(image.name.removesuffix(".fits") + ".psf.fits")


def difference_of(image: Path) -> Path:
    """Return the difference image beside an image."""
    return image.with_name(image.name.removesuffix(".fits") + ".subt.fits")


def transients_of(difference: Path) -> Path:
    """Return the catalogue of detections beside a difference image."""
    return difference.with_name(difference.name.removesuffix(".fits") + ".transient.cat")


def reference_pattern(object_name: str, filter_: str) -> re.Pattern[str]:
    """Return the pattern of the names of an object's references in a filter: ``ref_<source>_<OBJ>_<date>_..``."""
    object_, band = re.escape(slugs.slug(object_name)), re.escape(filter_name(filter_))
    return re.compile(rf"ref_[A-Za-z0-9]+_{object_}_\d{{8}}_\d{{6}}_{band}_[0-9.]*\d\.fits")


def reference_source(name: str) -> str:
    """Return who made a reference, a telescope or a survey: the first part of its name after ``ref``."""
    return name.split("_")[1]


def reference_date(name: str) -> date:
    """Return the date in a reference's name."""
    match = re.search(r"_(\d{8})_\d{6}_", name)
    try:
        return datetime.strptime(match[1] if match else "", "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError as error:
        raise UnusableData(f"reference {name!r} has no date: expected ref_<source>_<OBJ>_<YYYYMMDD>_..") from error


def convolved_name(reference: Path, date_obs: datetime) -> str:
    """Return the name of a convolved reference: the reference's with the science image's date and time."""
    return re.sub(r"_\d{8}_\d{6}_", f"{date_obs:_%Y%m%d_%H%M%S_}", reference.name.removesuffix(".fits")) + ".conv.fits"


def photometry_of(image: Path) -> Path:
    """Return the photometric catalogue of an image, in the folder ``phot`` beside it."""
    return image.parent / "phot" / (image.name.removesuffix(".fits") + ".phot.cat")


def zero_point_plot(image: Path, aperture: str) -> Path:
    """Return the path of the plot of an image's zero point in an aperture (``AUTO``, ``APER``, ``APER_1``)."""
    return image.parent / "phot" / f"{image.name.removesuffix('.fits')}.MAG_{aperture}.png"


def archived_bias(night: date) -> str:
    """Return the name of a master bias in the archive."""
    return f"{night:%Y%m%d}-zero.fits"


def archived_dark(night: date, exposure_s: float) -> str:
    """Return the name of a master dark in the archive."""
    return f"{exposure_text(exposure_s)}-{night:%Y%m%d}-dark.fits"


def archived_flat(night: date, filter_: str) -> str:
    """Return the name of a master flat in the archive."""
    return f"{night:%Y%m%d}-n{filter_name(filter_)}.fits"


@dataclass(frozen=True, kw_only=True)
class NightTree:
    """Paths of the night river's products under one root."""

    root: Path

    def masters(self, unit_name: str, night: date) -> Path:
        """Return the folder of a unit's master frames of one night."""
        return self.root / "masters" / unit(unit_name) / night.isoformat()

    def archive(self, unit_name: str, kind: str, *, binning: int = 1, gain_setting: int | None = None) -> Path:
        """Return the folder of a unit's accepted masters of one kind (``zero``, ``dark``, ``flat``, ``fringe``)."""
        gain = DEFAULT_GAIN_SETTING if gain_setting is None else gain_setting
        return self.root / f"master_frame_{binning}x{binning}_gain{gain}" / unit(unit_name) / kind

    def fringe_frame(self, unit_name: str, filter_: str, *, binning: int, gain_setting: int | None) -> Path:
        """Return the path of a unit's fringe frame of a filter, which the observer puts into the archive."""
        folder = self.archive(unit_name, "fringe", binning=binning, gain_setting=gain_setting)
        return folder / f"{filter_name(filter_)}-fringe.fits"

    def scratch(self, unit_name: str, night: date) -> Path:
        """Return the working folder of a unit's night: calibrated frames before astrometry."""
        return self.root / "work" / unit(unit_name) / night.isoformat()

    def solved(self, unit_name: str, night: date) -> Path:
        """Return the folder of a unit's frames between astrometry and photometry."""
        return self.scratch(unit_name, night) / "solved"

    def science(self, object_name: str, unit_name: str, filter_: str) -> Path:
        """Return the folder of calibrated images and stacks of one object, unit and filter."""
        return self.root / PROCESSED / slugs.slug(object_name) / unit_name / filter_name(filter_)

    def singles(self, objects: Iterable[str], filters: Iterable[str], units: Iterable[str]) -> list[Path]:
        """Return the sorted calibrated single frames of some objects, filters and units; an empty list selects all."""
        selections = (object_slugs(objects), {filter_name(name) for name in filters}, {unit(name) for name in units})
        return sorted(
            path
            for path in self.root.glob(f"{PROCESSED}/*/*/*/calib_*.fits")
            if IMAGE_NAME.fullmatch(path.name)
            for parts in [(path.parts[-4], path.parts[-2], path.parts[-3])]
            if all(not selected or part in selected for selected, part in zip(selections, parts, strict=True))
        )

    def survey(self) -> Path:
        """Return the folder of the tables over all nights."""
        return self.root / "survey"

    def lasting(self, unit_name: str) -> list[Path]:
        """Return the folders of a unit's products of all objects, and of its good masters of all cameras' settings."""
        parts = (f"{PROCESSED}/*", "master_frame_*")
        return sorted(path for part in parts for path in self.root.glob(f"{part}/{unit(unit_name)}"))

    def begun(self, night: date) -> list[str]:
        """Return the units that have a working folder of a night."""
        return sorted(path.parent.name for path in self.root.glob(f"work/*/{night.isoformat()}"))

    def stage(self, unit_name: str, night: date, stage: str) -> Path:
        """Return the ledger of one stage of one unit's night."""
        name = unit_name if JOINT_NAME.fullmatch(unit_name) else unit(unit_name)
        return self.root / "nights" / night.isoformat() / name / f"{slugs.slug(stage)}.json"

    def batches(self, unit_name: str, night: date) -> Path:
        """Return the path of the record of the batches in which a unit's lights arrived."""
        return self.root / "nights" / night.isoformat() / unit(unit_name) / "batches.json"

    def notes(self, unit_name: str, night: date, stage: str) -> list[Path]:
        """Return the sidecars of a stage's products in working folders: masters, or solved frames."""
        folders = {"calibrate": self.masters(unit_name, night), "reduce": self.solved(unit_name, night)}
        return sorted(folders[stage].glob("*.json")) if stage in folders else []

    def journal(self, unit_name: str, night: date) -> Path:
        """Return the path of the state of one unit's night."""
        return self.root / "nights" / night.isoformat() / unit(unit_name) / "journal.json"

    def log(self, unit_name: str) -> Path:
        """Return a unit's log of nights, as CSV."""
        return self.root / "log" / f"{unit(unit_name)}.log"

    def report(self, night: date) -> Path:
        """Return the folder of a night's page, tables and recipe."""
        return self.root / "nights" / night.isoformat()
