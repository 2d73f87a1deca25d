"""How long a model may be asked for explanations: rows in an order by lot, until time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.monitors.rules.declaration import read_span
from driftline.monitors.rules.table_checks import span_in_words

# However slow the model is, so many rows are explained: of a window as many as of one with a
# hundred features, and of a reference, by which all windows are judged, ten times as many.
LEAST_OF_WINDOW = 30
LEAST_OF_REFERENCE = 300
LONGEST = timedelta(days=1)

Moved = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long explaining by permutations may take; a model's own method is not limited."""

    length: timedelta
    clock: Callable[[], float] = time.monotonic  # Seconds, from any start.

    @classmethod
    def of(cls, given: object, *, has_model: bool) -> TimeLimit | None:
        """Take a span such as ``"5m"``, a number of seconds or a timedelta; None for no limit.

        Raises
        ------
        InputError
            For what is no span of time, or one longer than a day; or where no model is asked.
        """
        if given is None or isinstance(given, TimeLimit):
            return given
        if not has_model:
            raise InputError(
                "a time limit without a model to explain: leave it out, or give the model too"
            )
        length = given if isinstance(given, timedelta) else read_span(given)
        if length is None or not timedelta(0) < length <= LONGEST:
            raise InputError(
                f'time limit is {given!r}; expected a span up to a day, such as "5m" or "1h 30m"'
            )
        return cls(length)

    def note(self, explained: int, planned: int, least: int) -> str:
        """Describe what was left out; empty where nothing was."""
        if explained >= planned:
            return ""
        return (
            f"within the time limit of {span_in_words(self.length)}, {explained:,} of {planned:,} "
            f"rows were explained (at least {least} always are); intervals are wider for it"
        )


def going_on(
    limit: TimeLimit | None, least: int, rows: int, moved: Moved | None
) -> Callable[[int], bool] | None:
    """Start to count; returns what says, after so many rows, whether to explain more of them.

    None where there is neither a limit nor anybody to tell.
    """
    if limit is None and moved is None:
        return None
    end = None if limit is None else limit.clock() + limit.length.total_seconds()

    def go_on(done: int) -> bool:
        if moved is not None:
            moved(done, rows)
        return limit is None or end is None or done < least or limit.clock() < end

    return go_on


def order_by_lot(rows: int, seed: int) -> NDArray[np.intp]:
    """Return the rows' places in an order by lot, of which any first part stands for all."""
    return np.random.default_rng(seed).permutation(rows).astype(np.intp)
