"""Preview: what an alarm would have done with the datapoints that are stored.

A replay whose datapoints come from the store; the alarm need not be declared, and nothing is
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from sqlalchemy import Connection

from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.catalog import Entry
from driftline.alerts.evaluation.reading import BandsOf, Question, read_points
from driftline.alerts.evaluation.replay_document import (
    definition_of,
    flag_of,
    require_unicode,
    state_of,
    times_of,
)
from driftline.alerts.evaluation.replay_line import Line
from driftline.alerts.evaluation.replay_metric import Track

_KNOWN = frozenset(
    {"alarm", "start", "end", "step_s", "initial_state", "evaluation_range", "explain"}
)
_AT_ONCE = 500


def preview(
    connection: Connection,
    document: object,
    *,
    longest: int,
    bands: BandsOf | None = None,
) -> Iterator[Line]:
    """Return the evaluations of an alarm over what is stored for its metrics."""
    if not isinstance(document, Mapping) or "alarm" not in document:
        raise AlarmError("a preview without an alarm; expected alarm, start and end")
    if unknown := sorted(str(key) for key in set(document) - _KNOWN):
        raise AlarmError(f'a preview with "{unknown[0]}"; expected some of {sorted(_KNOWN)}')
    require_unicode(document)
    definition = definition_of(document)
    start, times = times_of(document, definition.period, longest // definition.range_periods)
    state = state_of("initial_state", document.get("initial_state", "INSUFFICIENT_DATA"))
    track = Track(definition, start, state)
    plan = Entry.of(start, definition).plan
    with_cause = flag_of(document, "explain")

    def lines() -> Iterator[Line]:
        questions = ((time, Question(definition, plan, definition.edges(time))) for time in times)
        while some := list(islice(questions, _AT_ONCE)):
            answers = read_points(connection, [question for _, question in some], bands)
            for (time, question), (_, points) in zip(some, answers, strict=True):
                if isinstance(points, Exception):
                    raise points
                yield track.judge(time, question.edges[-1], points, with_cause=with_cause)

    return lines()
