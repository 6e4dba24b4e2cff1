"""Ranked candidates of an event as a table."""

from __future__ import annotations

import csv
import io
from typing import Any

from tasks.records import Ranking


def rows(ranked: Ranking) -> list[dict[str, Any]]:
    """Return a row per source, the most probable first."""
    return [
        {
            "rank": number,
            "ra_deg": round(source.ra_deg, 6),
            "dec_deg": round(source.dec_deg, 6),
            "detections": source.detections,
            "filters": " ".join(source.filters),
            "best_snr": round(source.best_snr, 1),
            "mags": " ".join(f"{name}={mag:.2f}" for name, mag in sorted(source.mags.items())),
            "credible_level": round(source.credible_level, 4),
            "probability_per_deg2": float(f"{source.probability_per_deg2:.4g}"),
        }
        for number, source in enumerate(ranked.sources, start=1)
    ]


def csv_text(ranked: Ranking) -> str:
    """Return a ranking as CSV with a header line."""
    text = io.StringIO()
    names = list(rows(ranked)[0]) if ranked.sources else ["rank", "ra_deg", "dec_deg"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(ranked))
    return text.getvalue()
