"""SVG plots of a night against time: seeing, zero point, depth, by unit and filter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from statistics import median

from tasks.records import NightReport, Reduced

WIDTH, LEAST_HEIGHT, LINE = 760, 220, 15
LEFT, RIGHT, TOP, BOTTOM = 56, 170, 26, 30
# Okabe and Ito's palette, safe for colour-blind readers
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
# circle, square, triangle, diamond: with the colours they distinguish 32 series
SHAPES = (
    "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0",
    "M-3,-3H3V3H-3Z",
    "M0,-4L4,3H-4Z",
    "M0,-4.5L4.5,0L0,4.5L-4.5,0Z",
)
TICKS = 4


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values of one unit and filter against time."""

    name: str
    points: tuple[tuple[datetime, float], ...]


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Linear map from a value to a coordinate on the page."""

    low: float
    high: float
    first: float
    last: float

    def place(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.first + (value - self.low) / span * (self.last - self.first)


def night_plots(report: NightReport) -> tuple[str, ...]:
    """Draw seeing, zero point and depth of all reduced frames against time; none if no frame was reduced."""
    if not report.reduced:
        return ()
    return (
        draw("seeing", "arcsec", _series(report, lambda each: each.photometry.seeing_arcsec)),
        draw(
            "zero point, less the median of its unit and filter",
            "mag",
            _relative(_series(report, lambda each: each.photometry.zero_point_mag["AUTO"])),
        ),
        draw("5 sigma depth", "mag", _series(report, lambda each: each.photometry.depth5_mag["1"])),
    )


def draw(title: str, unit: str, series: Sequence[Series]) -> str:
    """Draw series of values against time as one SVG element; every point has a tooltip."""
    series = [each for each in series if each.points]
    if not series:
        return ""
    times = [moment.timestamp() for each in series for moment, _ in each.points]
    values = [value for each in series for _, value in each.points]
    margin = 0.08 * ((max(values) - min(values)) or 1.0)
    across = _Scale(low=min(times), high=max(times), first=LEFT, last=WIDTH - RIGHT)
    down = _Scale(
        low=min(values) - margin,
        high=max(values) + margin,
        first=max(LEAST_HEIGHT, TOP + LINE * (len(series) + 2)) - BOTTOM,
        last=TOP,
    )
    height = down.first + BOTTOM
    words = escape(f"{title} [{unit}] against time (UTC)")
    parts = [
        (
            f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{words}" xmlns="http://www.w3.org/2000/svg" '
            'style="width:100%;height:auto;font:11px sans-serif" fill="currentColor">'
        ),
        f'<text x="{LEFT}" y="15" font-weight="bold">{escape(title)} [{escape(unit)}]</text>',
        *_axes(across, down),
        *(part for number, each in enumerate(series) for part in _points(each, number, across, down)),
        "</svg>",
    ]
    return "".join(parts)


def _series(report: NightReport, value: Callable[[Reduced], float]) -> list[Series]:
    groups: dict[str, list[Reduced]] = {}
    for each in report.reduced:
        groups.setdefault(f"{each.frame.unit} {each.frame.filter}", []).append(each)
    return [
        Series(
            name=name,
            points=tuple(
                (each.frame.date_obs, value(each))
                for each in sorted(group, key=lambda each: each.frame.date_obs)
                if math.isfinite(value(each))
            ),
        )
        for name, group in sorted(groups.items())
    ]


def _relative(series: Sequence[Series]) -> list[Series]:
    """Return series less their medians, which their names give; clouds then show in all filters alike."""
    relative = []
    for each in series:
        middle = median(value for _, value in each.points) if each.points else 0.0
        points = tuple((moment, value - middle) for moment, value in each.points)
        relative.append(Series(name=f"{each.name} ({middle:.2f})", points=points))
    return relative


def _axes(across: _Scale, down: _Scale) -> list[str]:
    parts = [
        f'<path d="M{LEFT},{TOP}V{down.first:g}H{WIDTH - RIGHT}" fill="none" stroke="currentColor" opacity="0.5"/>'
    ]
    for step in range(TICKS + 1):
        value = down.low + step / TICKS * (down.high - down.low)
        y = down.place(value)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        moment = datetime.fromtimestamp(across.low, UTC) + timedelta(seconds=step / TICKS * (across.high - across.low))
        x = across.place(moment.timestamp())
        parts.append(f'<text x="{x:.1f}" y="{down.first + 20:g}" text-anchor="middle">{moment:%H:%M}</text>')
    return parts


def _points(series: Series, number: int, across: _Scale, down: _Scale) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    shape = SHAPES[number // len(COLOURS) % len(SHAPES)]
    y = TOP + 8 + LINE * number
    parts = [
        (
            f'<path transform="translate({WIDTH - RIGHT + 16},{y - 4})" d="{shape}" fill="{colour}"/>'
            f'<text x="{WIDTH - RIGHT + 26}" y="{y}">{escape(series.name)}</text>'
        )
    ]
    for moment, value in series.points:
        x, place = across.place(moment.timestamp()), down.place(value)
        words = escape(f"{series.name} {moment:%H:%M:%S} {value:.3f}")
        parts.append(
            f'<path transform="translate({x:.1f},{place:.1f})" d="{shape}" fill="{colour}"><title>{words}</title></path>'
        )
    return parts
