"""Traffic of an endpoint hour by hour, as its table and the gaps tell: counts, latency, lag."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.spool.frame import FIRST_FAILURE
from driftline.capture.tables.dataset import (
    IS_FIRST,
    PARTITION,
    Dataset,
    Gap,
    is_callers,
    is_within,
)
from driftline.capture.tables.storage import reaching

HOUR = timedelta(hours=1)
CLIENT = "user-agent"
"""The header by which clients are told apart, where `[capture] headers` keeps it."""

CLIENTS_MAX = 400
NAMES_MAX = 10 * CLIENTS_MAX
"""How many names of one batch of rows are kept until all are counted."""

OTHERS = "others"
_COLUMNS = [
    "event_time", "arrival_time", "status", "latency_us",
    "flags", "variant", "headers", "spool_id", "spool_seq",
]  # fmt: skip
# Of a request's number within its spool; above them stands which spool it is.
_SEQUENCE_BITS = 44
# Times lie in steps of 2%, in which their quantiles are told, up to a day.
_STEP = np.log(1.02)
_STEPS = int(np.log(86_400e6) / _STEP) + 2


@dataclass(slots=True)
class Times:
    """How many times of each step there were."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(_STEPS, dtype=np.int64))

    def quantile_ms(self, share: float) -> float | None:
        """Return the time, in milliseconds, that a share of all does not exceed."""
        total = self.counts.sum()
        if not total:
            return None
        step = int(np.searchsorted(self.counts.cumsum(), share * total))
        return float(np.exp((step + 0.5) * _STEP)) / 1_000 if step else 0.0


@dataclass(slots=True)
class Requests:
    """Requests of an hour, a variant or a client: all that are stored, and what became of them.

    ``refused``: answered with 400 or more, or not at all; ``lost``: known not to be stored;
    ``doubled``: stored more than once; ``lag``: from a request's event to its arrival.
    """

    stored: int = 0
    refused: int = 0
    lost: int = 0
    doubled: int = 0
    latency: Times = field(default_factory=Times)
    lag: Times = field(default_factory=Times)


@dataclass(frozen=True, slots=True)
class _Measured:
    """The counts of some requests, five bytes of each; times by their steps."""

    refused: np.ndarray
    latency: np.ndarray
    lag: np.ndarray

    def take(self, chosen: np.ndarray) -> _Measured:
        """Return some of them, by a mask."""
        return _Measured(self.refused[chosen], self.latency[chosen], self.lag[chosen])


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic of a span that begins at ``start``, by hour, variant and client.

    ``clients`` is empty where no record names one; ``is_cut``: there was no time to read them all.
    """

    start: datetime
    hours: dict[datetime, Requests]
    variants: dict[str, Requests]
    clients: dict[str, Requests]
    is_cut: bool = False


def read_traffic(
    root: str, endpoint: str, start: datetime, end: datetime, gaps: Iterable[Gap], within_s: float
) -> Traffic:
    """Count the requests of a span by the hour of their event; those lost by that of their gap.

    Rows are read for ``within_s`` seconds, the newest days first, and those of shadows left out.
    """
    hours, variants = (defaultdict[Any, Requests](Requests) for _ in range(2))
    until, is_late, is_cut = time.monotonic() + within_s, False, False
    seen: dict[datetime, list[np.ndarray]] = defaultdict(list)
    spools, names = dict[str, int](), dict[str, int]()
    named: list[tuple[np.ndarray, _Measured]] = []
    folder = Dataset(root, endpoint)
    data = folder.open()
    if data is not None:
        with reaching(folder.uri):
            for batch in _newest_first(data, start, end):
                if is_cut := is_late:
                    break
                rows = pa.table(batch)
                rows = rows.filter(is_callers(rows))
                found = _measured(rows)
                stamps, codes = _encoded(pc.floor_temporal(rows["event_time"], unit="hour"))
                _add(hours, stamps, codes, found)
                keys = (_known(spools, rows["spool_id"]) << _SEQUENCE_BITS) | (
                    rows["spool_seq"].to_numpy()
                )
                ends = np.bincount(codes, minlength=len(stamps)).cumsum()
                parts = np.split(keys[np.argsort(codes, kind="stable")], ends)[:-1]
                for hour, part in zip(stamps, parts, strict=True):
                    seen[hour].append(part)
                _add(variants, *_encoded(rows["variant"]), found)
                said = pc.map_lookup(rows["headers"], CLIENT, "first")
                has_name = pc.is_valid(said).to_numpy()
                clients = _known(names, _largest(said.drop_null(), NAMES_MAX))
                named.append((clients.astype(np.int32), found.take(has_name)))
                is_late = time.monotonic() > until
    for hour, together in seen.items():
        keys = np.concatenate(together)
        hours[hour].doubled = len(keys) - len(np.unique(keys))
    for gap in gaps:
        at = gap.last_time or gap.first_time
        if at is not None and start <= at < end and gap.records:
            hours[at.replace(minute=0, second=0, microsecond=0)].lost += gap.records
    shown = {str(name or "–"): one for name, one in variants.items()}
    return Traffic(start, dict(sorted(hours.items())), shown, _clients([*names], named), is_cut)


def _newest_first(data: pads.Dataset, start: datetime, end: datetime) -> Iterator[pa.RecordBatch]:
    """Read the first rows of the requests of a span, day by day, few at once."""
    day = end
    while day.date() >= start.date():
        asked = (pads.field(PARTITION) == f"{day:%Y-%m-%d}") & is_within(start, end) & IS_FIRST
        yield from data.to_batches(
            columns=_COLUMNS, filter=asked, batch_readahead=1, fragment_readahead=1
        )
        day -= timedelta(days=1)


def steps_of(micros: np.ndarray) -> np.ndarray:
    """Return the steps of times in microseconds; -1 for NaN, 0 for a microsecond or less."""
    steps = np.log(np.maximum(micros, 1.0)) / _STEP
    known: np.ndarray = np.nan_to_num(np.minimum(steps, _STEPS - 1), nan=-1.0)
    return known.astype(np.int16)


def _measured(rows: pa.Table) -> _Measured:
    status = pc.fill_null(rows["status"], 0).to_numpy()
    latency = rows["latency_us"].cast(pa.float64()).to_numpy()  # NaN where there is none.
    times = (rows[name].cast(pa.int64()).to_numpy() for name in ("arrival_time", "event_time"))
    arrived, happened = times
    return _Measured(
        (status <= 0) | (status >= FIRST_FAILURE),
        steps_of(latency),
        steps_of((arrived - happened).astype(np.float64)),
    )


def _encoded(column: pa.ChunkedArray | pa.Array) -> tuple[list[Any], np.ndarray]:
    """Return the values of a column, each once, and of each row the place of its own."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole.dictionary_encode(null_encoding="encode")
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _known(places: dict[str, int], column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return the place of each row's text among all that came, which become known."""
    values, codes = _encoded(column)
    known = [places.setdefault(value, len(places)) for value in values]
    found: np.ndarray = np.array(known, dtype=np.int64)[codes]
    return found


def _add(
    found: defaultdict[Any, Requests], values: Sequence[Any], codes: np.ndarray, of: _Measured
) -> None:
    """Count the requests of each value; ``codes`` say whose each of them is."""
    many = len(values)
    stored, refused = (np.bincount(one, minlength=many) for one in (codes, codes[of.refused]))
    steps = [
        np.bincount((codes * _STEPS + one)[one >= 0], minlength=many * _STEPS)
        for one in (of.latency, of.lag)
    ]
    for at, value in enumerate(values):
        one, place = found[value], slice(at * _STEPS, (at + 1) * _STEPS)
        one.stored += int(stored[at])
        one.refused += int(refused[at])
        one.latency.counts += steps[0][place]
        one.lag.counts += steps[1][place]


def _clients(
    names: Sequence[str], found: Sequence[tuple[np.ndarray, _Measured]]
) -> dict[str, Requests]:
    """Count the requests of the clients with the most, and those of all others together."""
    clients: defaultdict[str, Requests] = defaultdict(Requests)
    counts = np.zeros(len(names), dtype=np.int64)
    for codes, _ in found:
        counts += np.bincount(codes, minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:CLIENTS_MAX]
    places = np.full(len(names), len(order))
    places[order] = np.arange(len(order))
    shown = [*(names[at] for at in order), *[OTHERS] * (len(order) < len(names))]
    for codes, measured in found:
        _add(clients, shown, places[codes], measured)
    return dict(clients)


def _largest(names: pa.ChunkedArray, most: int) -> pa.StringArray:
    """Return names with all but the most frequent ones as `OTHERS`."""
    counted = pc.value_counts(names)
    if len(counted) <= most:
        return names.combine_chunks()
    order = np.argsort(-counted.field("counts").to_numpy(), kind="stable")[:most]
    is_large = pc.is_in(names, counted.field("values").take(order))
    return pc.if_else(is_large, names, OTHERS).combine_chunks()
