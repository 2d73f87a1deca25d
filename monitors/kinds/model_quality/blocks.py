"""The reference cut into blocks as long as the window, each of them measured.

They show how windows of that length differ without any change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import Answers, read_times
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.model_quality.base_rates import Moves
from driftline.monitors.kinds.model_quality.expectation import Expectation
from driftline.monitors.kinds.model_quality.extras import Extras
from driftline.monitors.kinds.model_quality.influence import Measure, Numbers
from driftline.monitors.results.unusable import rows_length, untimed_note
from driftline.monitors.results.violation import JsonValue
from driftline.stats.blocks import (
    DAY_US,
    HOUR_US,
    NO_TIME,
    block_length,
    time_blocks,
    time_span,
)
from driftline.stats.clusters import cluster_rows

# So many blocks of the window's length are a yardstick; with fewer, shorter ones are taken.
MIN_BLOCKS = 10
# Rows of the smaller class, below which its share of hits says nothing.
MIN_SUPPORT = 10
# A block with fewer rows than this share of the usual is a ragged end, not a window.
WHOLE_SHARE = 0.5
# More blocks than a year has days tell nothing new; evenly spaced ones are measured.
MAX_BLOCKS = 366
LONGEST_CHAIN = 12
NO_EXTRAS = Extras(has_areas=False)


@dataclass(frozen=True, slots=True)
class OnScale:
    """One metric of the blocks that have it, shape (blocks,)."""

    values: Numbers  # On the scale of the test.
    support: Numbers  # The rows that each rests on.
    gains: Numbers  # What moves of the share of positives took from the values.
    moves: Moves | None = None  # How far it moves; None where it does not tell.


@dataclass(frozen=True, slots=True)
class Blocks:
    """The reference's metrics in blocks of one length."""

    length_us: int
    fitting: float  # Length of the reference in such blocks, not rounded.
    measures: tuple[Mapping[str, Measure], ...]  # Of each whole block, in order of time.
    # The whole reference's, with variances from clusters no longer than the window.
    whole: Mapping[str, Measure]
    # By metric: what windows ask of it again.
    on_scale: dict[str, OnScale] = field(default_factory=dict, init=False, repr=False)


def reference_blocks(answers: Answers, length_us: int, extras: Extras = NO_EXTRAS) -> list[Blocks]:
    """Measure the reference in blocks of a window's length, half of it, and so on."""
    if answers.time_us is None or not len(answers):
        return []
    order = np.argsort(answers.time_us, kind="stable")
    ordered = answers.take(order[np.count_nonzero(answers.time_us == NO_TIME) :])
    assert ordered.time_us is not None  # It was there before.
    whole = extras.measure(ordered, cluster_rows(ordered.time_us, longest_us=length_us))
    found: list[Blocks] = []
    enough = 0
    for step in range(LONGEST_CHAIN):
        length = max(length_us >> step, 1)
        found.append(_cut(ordered, ordered.time_us, length, whole, extras))
        enough += len(found[-1].measures) >= MIN_BLOCKS
        if enough >= (1 if len(found) == 1 else 2):
            break
    return found


def blocks_of(
    reference: Answers | None,
    answers: Answers,
    length: timedelta | None,
    extras: Extras = NO_EXTRAS,
) -> list[Blocks]:
    """Measure the reference in blocks as long as the window."""
    if reference is None or reference.time_us is None or not len(answers):
        return []
    if length is None:
        length = _length_of(answers.time_us)
    if length is None:
        span = timedelta(microseconds=time_span(reference.time_us) + 1)
        length = span * min(1.0, len(answers) / len(reference))
    return reference_blocks(reference, max(1, length // timedelta(microseconds=1)), extras)


def kept_blocks(context: CheckContext, expected: Expectation, answers: Answers) -> list[Blocks]:
    """Return `blocks_of` a context's window, cached per window length.

    A user's own functions are measured again, because they may change.
    """
    length, extras = context.rows.length, expected.judged
    make = partial(blocks_of, expected.answers, answers, length, extras)
    if length is None or not len(answers) or extras.own:
        return make()
    return context.kept(("quality blocks", context.roles, length), make)


def unanswered_blocks(
    reference: Answers | None, answers: Answers, length: timedelta | None
) -> list[tuple[int, int]]:
    """Count the reference's labelled and unpredicted rows, in blocks like the window."""
    if reference is None or reference.time_us is None or not reference.unanswered:
        return []
    assert reference.unanswered_us is not None  # Of the same rows.
    times = np.concatenate([reference.time_us, reference.unanswered_us])
    block = blocks_like(times, answers, length, len(times))
    size = int(block.max()) + 1
    counts = [
        np.bincount(one[one >= 0], minlength=size) for one in (block, block[len(reference) :])
    ]
    return [(int(rows), int(missing)) for rows, missing in zip(*counts, strict=True)]


def blocks_like(
    times: NDArray[np.int64] | None, answers: Answers, length: timedelta | None, rows: int
) -> NDArray[np.int64]:
    """Return each reference row's block, as long as the window; -1 without times."""
    if times is None or not len(times):
        return np.full(rows, -1, np.int64)
    own = [one for one in (answers.time_us, answers.unanswered_us) if one is not None]
    if length is None and own:
        length = _length_of(np.concatenate(own))
    share = (len(answers) + answers.unanswered) / rows
    return time_blocks(times, block_length(time_span(times) + 1, length, share))


def times_note(
    context: CheckContext, expected: Expectation, table: pa.Table, blocks: list[Blocks]
) -> dict[str, JsonValue]:
    """Return a note that rows lack the times needed for a comparison with the reference's."""
    outcomes, reference = context.baseline.outcomes, expected.answers
    if outcomes is None or reference is None or not len(table) or context.compat:
        return {}
    when, times, rows = outcomes.roles.timestamp, read_times(table, expected.roles), len(table)
    if when is None and reference.time_us is None:
        return {}
    lacking = rows if times is None else int(np.count_nonzero(times == NO_TIME))
    span = ""
    if context.rows.length is not None:
        lacking *= times is not None  # When they came is known.
    elif rows_length(0, rows - lacking, rows) is None:
        span = "how long they span is told by their number"
    note = untimed_note(
        when, outcomes.untimed, (lacking, rows), span=span, knows_days=_know_days(blocks)
    )
    return {"times_note": note} if note else {}


def _know_days(blocks: Sequence[Blocks]) -> bool:
    """Whether there are enough blocks with the metric to show how windows differ."""
    return any(
        sum(any(one.support >= MIN_SUPPORT for one in each.values()) for each in cut.measures)
        >= MIN_BLOCKS
        for cut in blocks
    )


def _length_of(time_us: NDArray[np.int64] | None) -> timedelta | None:
    """Return the time span of a window's rows; None where too few have times."""
    if time_us is None:
        return None
    timed = int(np.count_nonzero(time_us != NO_TIME))
    return rows_length(time_span(time_us), timed, len(time_us))


def _cut(
    ordered: Answers,
    time_us: np.ndarray,
    length_us: int,
    whole: Mapping[str, Measure],
    extras: Extras,
) -> Blocks:
    """Measure whole blocks of one length; days begin at midnight, UTC."""
    block = time_blocks(time_us, length_us, partial_share=WHOLE_SHARE)
    places, first, counts = np.unique(block, return_index=True, return_counts=True)
    full = np.flatnonzero(places >= 0)
    if len(full) > MAX_BLOCKS:
        full = full[np.linspace(0, len(full) - 1, MAX_BLOCKS).astype(np.intp)]
    unit = DAY_US if length_us % DAY_US == 0 else min(length_us, HOUR_US)
    span = int(time_us[-1]) - int(time_us[0]) // unit * unit + 1
    spans = ((int(first[one]), int(first[one] + counts[one])) for one in full)
    return Blocks(length_us, span / length_us, tuple(_measured(ordered, spans, extras)), whole)


def _measured(
    ordered: Answers, spans: Iterator[tuple[int, int]], extras: Extras
) -> Iterator[Mapping[str, Measure]]:
    for first, last in spans:
        yield extras.measure(ordered.take(slice(first, last)), values_only=True)
