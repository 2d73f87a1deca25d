"""What people said of past alarms, compared with what the drift test would have done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.backtest.replay import ALARM, Verdict
from driftline.monitors.results.violation import DRIFT_CHECK

EXPECTED, HARMFUL, NEW_NORMAL = "expected", "harmful", "new_normal"
VERDICTS = (EXPECTED, HARMFUL, NEW_NORMAL)


@dataclass(frozen=True, slots=True)
class LabelledEvent:
    """One span of time that somebody has judged."""

    column: str | None  # None: the whole monitor.
    start: datetime
    end: datetime
    verdict: Literal["expected", "harmful", "new_normal"]
    is_drift: bool = True  # False: only checks that are not replayed found it.

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(f'mark "{self.verdict}"; expected one of {", ".join(VERDICTS)}')
        if self.start.tzinfo is None or self.end.tzinfo is None or self.end <= self.start:
            raise InputError(
                f"mark from {self.start} to {self.end}; expected times with a zone, the end after "
                "the start"
            )

    def is_judged(self, verdict: Verdict) -> bool:
        """Whether a window lies in the span, in part at least."""
        if verdict.start is None or verdict.end is None:
            return False
        return verdict.start < self.end and self.start < verdict.end

    def is_met(self, verdict: Verdict) -> bool:
        """Whether a window lies in the span, in part at least, and alarms for its column."""
        if verdict.state != ALARM or not self.is_judged(verdict):
            return False
        return self.column is None or any(alarm.column == self.column for alarm in verdict.alarms)


@dataclass(frozen=True, slots=True)
class EventScore:
    """How the replay did on the labelled events."""

    harmful_count: int
    found_count: int  # Harmful spans with an alarm.
    expected_count: int
    needless_count: int  # Expected or new-normal spans with an alarm.
    # Harmful spans without an alarm that checks found which are not replayed; counted nowhere
    # else.
    other_count: int = 0


def score(verdicts: Sequence[Verdict], events: Sequence[LabelledEvent]) -> EventScore | None:
    """Count the events that the alarms met; None without any on the replayed windows."""
    judged = [event for event in dict.fromkeys(events) if any(map(event.is_judged, verdicts))]
    if not judged:
        return None
    met = {event: any(map(event.is_met, verdicts)) for event in judged}
    harmful = [
        hit for event, hit in met.items() if event.verdict == HARMFUL and (hit or event.is_drift)
    ]
    others = [hit for event, hit in met.items() if event.verdict != HARMFUL]
    left = len(met) - len(harmful) - len(others)
    return EventScore(len(harmful), sum(harmful), len(others), sum(others), left)


def labelled_events(
    annotations: Sequence[Annotation], checks_of: Callable[[Annotation], Collection[str]]
) -> list[LabelledEvent]:
    """Return the annotations that stand as a backtest scores them; of equal spans the newest.

    Those on other checks than drift are left out: a backtest replays drift alone.
    """
    events: dict[tuple[str | None, Window], LabelledEvent] = {}
    for annotation in annotations:
        key = annotation.feature, annotation.span
        is_meant = annotation.withdrawn_at is None and annotation.check in (None, DRIFT_CHECK)
        if is_meant and key not in events:
            verdict: Any = annotation.verdict.replace("-", "_")
            checks = checks_of(annotation)
            events[key] = LabelledEvent(
                annotation.feature,
                annotation.span.start,
                annotation.span.end,
                verdict,
                is_drift=not checks or DRIFT_CHECK in checks,
            )
    return list(events.values())
