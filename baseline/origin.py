"""Columns that say where a row comes from: its day, file, batch or number.

Each day brings new values of them, so they are profiled but not judged. Baselines and ``driftline
init`` share this rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from driftline.baseline.column import ColumnProfile
from driftline.baseline.predicate import FIRST_TIME, LAST_TIME
from driftline.baseline.times import DAY, SECOND, TimeSummary
from driftline.formats.coercion import coerce, text_array

# A file that lies elsewhere, or a frame read from one, has no such column.
OF_FOLDERS = "it names the folders by time, which only grows"
OF_TIME = "its days or times move on with the rows"
OF_BATCH = "it names the file or batch that a row came in"
OF_FILE = "it names the file that a row came in"
OF_KEY = "its whole numbers only grow, as those of a key or counter do"
# Some rows of a reference stand in it twice; the number of different values is known to some 2%.
UNIQUE_SHARE = 0.9
# Fewer numbers rise from row to row by chance.
MIN_KEYS = 20
# A column of which more times lie within those of the rows, or later, moves on with them. Of dates
# of birth, 0.1% lie within a month of rows, and two months later a day of 3,000 would be a ticket.
BESIDE_SHARE = 0.0001
# Share of a window's times beyond the reference's last one at which they have moved on.
LATER_SHARE = 0.95
# A time farther from the others is a default, such as 1970-01-01 or 9999-12-31.
FAR_US = 3652 * DAY

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_YEAR = r"(?:19|20)\d\d"
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
# 2026-11-16, 2026/11, 20261116, 2026111605, 2026-W47, 16.11.2026: with an hour or without.
_DATES = (
    rf"{_YEAR}([-/._]){_MONTH}\1{_DAY}(?:[-/._ T]\d\d)?",
    rf"{_YEAR}[-/]{_MONTH}",
    rf"{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])?",
    rf"{_YEAR}-?W[0-5]\d",
    rf"{_DAY}([-/.]){_DAY}\1{_YEAR}",
)
_DATE = tuple(re.compile(one) for one in _DATES)
# A number in a name is no date; one between other signs may be.
_HOLDS_DATE = re.compile(
    "|".join(rf"(?<!\d)(?:{one})(?!\d)" for one in (*_DATES[1:4:2], _DATES[2]))
)
_DIGIT = re.compile(r"\d")
_FILE = re.compile(
    r"\S.*\.(?:csv|tsv|txt|dat|json|jsonl|ndjson|xml|xlsx?|parquet|avro|orc|arrow|feather|gz|zip)"
    r"(?:\.\w+)?",
    re.IGNORECASE,
)
_BATCHES = frozenset(
    ("batch", "export", "extract", "file", "filename", "filepath", "load", "partition", "run",
     "snapshot")
)  # fmt: skip
_TIMES = frozenset(
    ("date", "day", "ds", "dt", "hour", "hr", "month", "quarter", "week", "year", "ymd")
)
# What the name of a batch ends with; `cpu_load`, `load_type` and `batch_size` are data.
_NUMBERS = frozenset(("id", "key", "name", "nr", "no", "num", "number", "path"))


def name_words(name: str) -> frozenset[str]:
    """Return the lower-case words of a name."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def origin_reason(name: str, values: Sequence[str], *, is_partition: bool = False) -> str | None:
    """Return why a column holds the origin of its rows, not data; None if it holds data."""
    if not values:
        return None
    words = name_words(name)
    are_days = all(map(_is_date, values))
    if is_partition and (are_days or words & _TIMES):
        return OF_FOLDERS
    if are_days or _are_times(values):
        return OF_TIME
    if words & _BATCHES and (
        (_is_name(name) and (len(values) == 1 or all(map(_DIGIT.search, values))))
        or all(map(_HOLDS_DATE.search, values))
    ):
        return OF_BATCH
    if all(map(_FILE.fullmatch, values)):
        return OF_FILE
    return None


def misfits(reason: str, values: Sequence[str], reference: Sequence[str]) -> list[str]:
    """Return the values that do not fit the kind of origin in a reference's values."""
    if reason == OF_TIME:
        others = [one for one in values if not _is_date(one)]
        read, _ = coerce(text_array(others), "timestamp")
        return [one for one, at in zip(others, read, strict=True) if not at.is_valid]
    if reason == OF_FILE:
        return [one for one in values if not _FILE.fullmatch(one)]
    if reason == OF_BATCH and reference:
        if all(map(_HOLDS_DATE.search, reference)):
            return [one for one in values if not _HOLDS_DATE.search(one)]
        if all(map(_DIGIT.search, reference)):
            return [one for one in values if not _DIGIT.search(one)]
    if reason == OF_FOLDERS and reference and all(map(_is_date, reference)):
        return [one for one in values if not _is_date(one)]
    return []


def rises(values: pa.Array) -> bool:
    """Whether each whole number of sampled rows, or each other time, is larger than those before.

    Several rows may be of one moment.
    """
    numbers = values.drop_null().cast(pa.int64()).to_numpy()
    steps = np.diff(numbers)
    is_time = pa.types.is_timestamp(values.type)
    return bool((steps[steps != 0] > 0).all() if is_time else (steps > 0).all())


def are_keys(values: pa.Array, *, count: int, distinct_count: int, span: float) -> bool:
    """Whether integers are keys or a counter: they only rise, or fill their range once."""
    is_full = span == count and distinct_count >= UNIQUE_SHARE * count
    return count >= MIN_KEYS and (is_full or rises(values))


def moves_on(column: ColumnProfile, values: pa.Array, own: ColumnProfile | None) -> bool:
    """Whether a reference's times advance with its rows; defaults do not count.

    They lie at the rows' own times, or only grow.
    """
    times = column.times
    if own is None or not own.times.count or not times.count:
        return times.count >= MIN_KEYS and column.distinct_count > 1 and rises(values)
    start = own.times.first[_in_body(own.times)][0]
    in_body = _in_body(times)
    beside = times.counts[in_body & (times.last >= start)].sum()
    return bool(beside > BESIDE_SHARE * times.counts[in_body].sum())


def has_moved_on(window: ColumnProfile, reference: ColumnProfile) -> bool:
    """Whether a window's times lie beyond the reference's, as those of later rows do.

    Defaults that the reference has, too, do not count. One time in all rows is a default, unless
    the reference's rows share times, such as days.
    """
    times, before = window.times, reference.times
    if not times.count or not before.count:
        return False
    in_body = _in_body(before)
    is_known = np.isin(times.first // SECOND, before.first[~in_body] // SECOND)
    beyond = times.first - float(before.last[in_body][-1])
    is_later = (beyond > 0) & (beyond <= FAR_US) & ~is_known
    later_count = times.counts[is_later].sum()
    if not later_count or later_count < LATER_SHARE * times.counts[~is_known].sum():
        return False
    is_one = times.first[is_later][0] == times.last[is_later][-1]
    return not (is_one and 2 * reference.distinct_count > before.count)


def new_default(window: ColumnProfile, reference: ColumnProfile) -> tuple[int, float] | None:
    """Return a time far from all of a reference that many rows of a window share, and their share.

    Nothing else judges columns whose times advance with the rows.
    """
    times, before = window.times, reference.times
    if not times.count or not before.count:
        return None
    nearest = np.searchsorted(before.first, times.first)
    earlier = before.last[np.maximum(nearest - 1, 0)].astype(np.float64)
    later = before.first[np.minimum(nearest, len(before.first) - 1)].astype(np.float64)
    distances = np.minimum(abs(times.first - earlier), abs(later - times.first))
    is_told = (times.first >= FIRST_TIME) & (times.first < LAST_TIME + SECOND)
    is_default = is_told & (times.first == times.last) & (distances > FAR_US)
    counts = np.where(is_default, times.counts, 0)
    at = int(np.argmax(counts))
    share = float(counts[at] / times.count)
    is_frequent = counts[at] >= MIN_KEYS and share > 1 - LATER_SHARE
    return (int(times.first[at]), share) if is_frequent else None


def _in_body(times: TimeSummary) -> np.ndarray:
    """Mark the intervals of a column's times without its defaults, which lie far from the others.

    The body is the run without a long gap that has the most intervals, then the most rows: a
    default is one time, however many rows hold it.
    """
    breaks = np.flatnonzero(times.first[1:] - times.last[:-1].astype(np.float64) > FAR_US) + 1
    starts, ends = np.append(0, breaks), np.append(breaks, len(times.first))
    shares = np.add.reduceat(times.counts, starts) / (times.count + 1)
    body = int(np.argmax(ends - starts + shares))
    found = np.zeros(len(times.first), np.bool_)
    found[starts[body] : ends[body]] = True
    return found


def _is_date(value: str) -> bool:
    return any(one.fullmatch(value) for one in _DATE)


def _is_name(name: str) -> bool:
    """Whether a column is named like a batch or its number: `batch_id`, not `batch_size`."""
    last = _WORD.findall(name)[-1].lower()
    return last in _NUMBERS | _TIMES or last in _BATCHES - {"load"}


def _are_times(values: Sequence[str]) -> bool:
    texts = text_array(values)
    read, unfit = coerce(texts, "timestamp")
    return unfit == 0 and read.null_count == 0
