"""Why each page of a replay came: by the flights alone, not by what the monitors say of it.

There are three reasons, and a page for anything else would be one too many: the planted fault, the
weather that the data package lacks on its last day, and weeks in which the model really was worse
than guessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa

from driftline.app.demo.flights import EVENT_TIME, LABEL, WEATHER, Request, is_between
from driftline.app.demo.receiver import Page

DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True, order=True)
class PagedWindow:
    """A window of a monitor that people were called for."""

    monitor: str
    start: datetime


@dataclass(frozen=True, slots=True)
class BadWeek:
    """A week in which the model was worse than guessing."""

    start: datetime
    # Brier skill, below 0: 1 - mean squared error of the probabilities over that of the week's own
    # share of late flights (Murphy, Journal of Applied Meteorology 12, 1973).
    skill: float
    late_share: float


def window_of(page: Page) -> PagedWindow | None:
    """Return the window that a page's link names; None when it has none."""
    parts = urlsplit(page.link)
    stamps = parse_qs(parts.query).get("window", [])
    *before, monitor = parts.path.rsplit("/", 1)
    if not stamps or not before or not before[0].endswith("/monitors"):
        return None
    return PagedWindow(monitor, datetime.strptime(stamps[0] + "+0000", "%Y%m%dT%H%M%SZ%z"))


def lacks_weather(table: pa.Table, day: datetime) -> bool:
    """Return whether flights have no weather at all on a day of theirs."""
    one = table.filter(is_between(table, day, day + DAY))
    return one.num_rows > 0 and all(one[name].null_count == len(one) for name in WEATHER)


def answered(
    captured: pa.Table, requests: Sequence[Request], indices: Mapping[str, int], row_count: int
) -> np.ndarray:
    """Return the captured probability of each flight, shape (row_count,); NaN where there is none.

    Parameters
    ----------
    captured
        event_id, row_index and probability of the rows that were answered.
    requests
        In order; their rows are places in the flights.
    indices
        Which request was answered under each event id.
    row_count
        How many flights there are.
    """
    events = captured["event_id"].combine_chunks().dictionary_encode()
    firsts = np.array(
        [
            requests[indices[event]].first if event in indices else -1
            for event in events.dictionary.to_pylist()
        ]
    )
    first = firsts[events.indices.to_numpy()]
    known = first >= 0
    found = np.full(row_count, np.nan)
    places = first[known] + captured["row_index"].to_numpy()[known]
    found[places] = captured["probability"].to_numpy()[known]
    return found


def bad_weeks(
    table: pa.Table, probability: np.ndarray, starts: Sequence[datetime]
) -> list[BadWeek]:
    """Find the weeks in which the model was worse than guessing.

    Parameters
    ----------
    table
        The flights, with their labels.
    probability
        As `answered` gives it.
    starts
        When the weeks begin.
    """
    late = table[LABEL].to_numpy(zero_copy_only=False).astype(float)
    times = table[EVENT_TIME].cast(pa.int64()).to_numpy()
    found = []
    for start in starts:
        begin_us = round(start.timestamp() * 1e6)
        inside = (times >= begin_us) & (times < begin_us + WEEK // timedelta(microseconds=1))
        known = inside & ~np.isnan(late) & ~np.isnan(probability)
        share = float(late[known].mean()) if known.any() else 0.0
        if 0.0 < share < 1.0:
            error = float(np.mean((probability[known] - late[known]) ** 2))
            skill = 1.0 - error / (share * (1.0 - share))
            if skill < 0.0:
                found.append(BadWeek(start, skill, share))
    return found
