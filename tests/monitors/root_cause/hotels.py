"""Bookings in which faults are planted: what must be named is known by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd

from driftline.baseline.store import Baseline
from driftline.monitors.report.report import Report
from driftline.monitors.results.violation import Segment, Violation

ROWS = 20_000


def hotels(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Bookings: an agent sells in one channel only, and one hotel always lacked many children."""
    channel = rng.choice(["agents", "direct", "web"], rows, p=[0.5, 0.2, 0.3])
    hotel = rng.choice(["city", "resort"], rows, p=[0.6, 0.4])
    lacking = rng.random(rows) < np.where(hotel == "resort", 0.3, 0.02)
    return pd.DataFrame(
        {
            "adr": np.round(rng.gamma(6, 17, rows), 2),
            "children": np.where(lacking, np.nan, rng.poisson(0.4, rows)),
            "lead": rng.integers(0, 365, rows).astype(float),
            "hotel": hotel,
            "channel": channel,
            "agent": np.where(channel == "direct", "250", rng.choice(["1", "9", "14"], rows)),
            "meal": rng.choice(["BB", "HB", "SC"], rows, p=[0.7, 0.2, 0.1]),
            "partner": rng.choice(list("abcdefgh"), rows),
        }
    )


def reference_share(reference: Baseline, column: str, level: str) -> float:
    return reference.profile.columns[column].value_counts()[level] / ROWS


def named(report: Report, feature: str) -> Violation:
    return next(one for one in report.violations if one.feature_name == feature)


def place(report: Report, feature: str) -> Segment | None:
    return named(report, feature).segment
