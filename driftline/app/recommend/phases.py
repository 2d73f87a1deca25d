"""Phases of load: how much each asks for, what it measured, and when more load is of no use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

import numpy as np

from driftline.app.recommend.load import Load
from driftline.errors import InputError

FLAT = 0.05  # Throughput that grows by less is flat.
_PHASE = re.compile(r"(\d{1,4})(?::(\d{1,5}))?(?::(\d{1,4}(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class Phase:
    """A span of load: the users at its start, and how many come in a minute."""

    users: int
    spawn_per_minute: int = 0
    seconds: float = 2.0

    @property
    def most_users(self) -> int:
        """How many users there are at its end."""
        return self.users + int(self.seconds * self.spawn_per_minute / 60)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read USERS[:SPAWN[:SECONDS]]."""
        found = _PHASE.fullmatch(text)
        if found is None or not int(found[1]) or not float(found[3] or 1):
            raise InputError(
                f'phase "{text}"; expected USERS[:SPAWN[:SECONDS]], such as 8 or 2:60:10'
            )
        return cls(int(found[1]), int(found[2] or 0), float(found[3] or 2))


LADDER = tuple(Phase(2**step) for step in range(7))


@dataclass(frozen=True, slots=True)
class Measured:
    """What a phase measured: medians of its repetitions."""

    users: int
    invocations_per_minute: float
    spread: float  # Of these: from the least to the most, as a share of the median.
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_cores: float  # Of all processes of the server, in cores that are busy all the time.
    memory_mib: float

    @classmethod
    def of(cls, users: int, loads: Sequence[Load], cores: Sequence[float], mib: float) -> Self:
        """Put the repetitions of a phase together."""
        rates = [60 * load.requests / load.seconds for load in loads]
        quantiles = [np.quantile(load.latencies_s, (0.5, 0.95, 0.99)) for load in loads]
        p50, p95, p99 = (1e3 * np.median(quantiles, axis=0)).tolist()
        middle = median(rates)
        spread = (max(rates) - min(rates)) / middle
        return cls(users, middle, spread, p50, p95, p99, median(cores), mib)


def why_last(found: Sequence[Measured], max_p95_ms: float | None) -> str | None:
    """Say why load beyond these phases is of no use; None: it may be."""
    last = found[-1]
    if max_p95_ms is not None and last.p95_ms > max_p95_ms:
        return f"P95 of {last.p95_ms:.3g} ms with {last.users} users, above {max_p95_ms:g} ms"
    if len(found) > 1:
        growth = last.invocations_per_minute / found[-2].invocations_per_minute - 1
        if growth < FLAT:
            return f"flat: {growth:+.1%} invocations with {last.users} users"
    return None


def peak(found: Sequence[Measured], max_p95_ms: float | None) -> Measured | None:
    """Return the least load within the threshold that no more load beats by much; None: none is."""
    best = None
    for one in found:
        is_within = max_p95_ms is None or one.p95_ms <= max_p95_ms
        least = 0.0 if best is None else best.invocations_per_minute * (1 + FLAT)
        if is_within and one.invocations_per_minute >= least:
            best = one
    return best
