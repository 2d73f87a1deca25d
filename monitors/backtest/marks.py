"""What people said of past alarms, held against what the rule would have done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.annotations.annotation import Mark as Annotation
from driftline.monitors.backtest.replay import ALARM, Verdict

EXPECTED, HARMFUL, NEW_NORMAL = "expected", "harmful", "new_normal"
DRIFT = "baseline_drift_check"
VERDICTS = (EXPECTED, HARMFUL, NEW_NORMAL)


@dataclass(frozen=True, slots=True)
class Mark:
    """One span of time that somebody has judged.

    Parameters
    ----------
    column
        The column it is about; None: the whole monitor.
    start, end
        Half-open span, aware.
    verdict
        "harmful": an alarm was wanted. "expected" and "new_normal": none was.
    is_drift
        False: other checks alone found it, which are not replayed. A backtest may find it all the
        same, but cannot miss it.
    """

    column: str | None
    start: datetime
    end: datetime
    verdict: Literal["expected", "harmful", "new_normal"]
    is_drift: bool = True

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
        return self.column is None or any(one.column == self.column for one in verdict.alarms)


@dataclass(frozen=True, slots=True)
class MarkScore:
    """How the replay did on the marks.

    Parameters
    ----------
    harmful_count, found_count
        Spans of replayed windows that were harmful, and those of them with an alarm.
    expected_count, needless_count
        Spans that were expected or the new normal, and those of them with an alarm.
    other_count
        Harmful spans without an alarm that other checks alone found, such as one of units: they are
        not replayed, and in none of the other counts.
    """

    harmful_count: int
    found_count: int
    expected_count: int
    needless_count: int
    other_count: int = 0


def score(verdicts: Sequence[Verdict], marks: Sequence[Mark]) -> MarkScore | None:
    """Count the marks that the alarms met; None without marks on the windows that were replayed."""
    judged = [one for one in dict.fromkeys(marks) if any(map(one.is_judged, verdicts))]
    if not judged:
        return None
    met = {one: any(map(one.is_met, verdicts)) for one in judged}
    harmful = [hit for one, hit in met.items() if one.verdict == HARMFUL and (hit or one.is_drift)]
    others = [hit for one, hit in met.items() if one.verdict != HARMFUL]
    left = len(met) - len(harmful) - len(others)
    return MarkScore(len(harmful), sum(harmful), len(others), sum(others), left)


def backtest_marks(
    marks: Sequence[Annotation], checks_of: Callable[[Annotation], Collection[str]]
) -> list[Mark]:
    """Give the marks that stand as a backtest scores them; of equal spans the newest counts.

    Those on other checks than drift are left out: a backtest replays drift alone.
    """
    found: dict[tuple[str | None, Window], Mark] = {}
    for one in marks:
        is_meant = one.withdrawn_at is None and one.check in (None, DRIFT)
        if is_meant and (one.feature, one.span) not in found:
            verdict: Any = one.verdict.replace("-", "_")
            checks = checks_of(one)
            found[one.feature, one.span] = Mark(
                one.feature,
                one.span.start,
                one.span.end,
                verdict,
                is_drift=not checks or DRIFT in checks,
            )
    return list(found.values())
