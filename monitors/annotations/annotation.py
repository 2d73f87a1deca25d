"""A mark: what somebody said of a monitor's finding, or of a window in which it found nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.results.violation import JsonValue

EXPECTED, HARMFUL, NEW_NORMAL = "expected", "harmful", "new-normal"
VERDICTS = (EXPECTED, HARMFUL, NEW_NORMAL)
TEXT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark; none is ever changed but to say that it was withdrawn.

    Parameters
    ----------
    monitor
        Whose finding it is.
    window
        The window that was looked at.
    verdict
        "expected": it is listed, and does not alarm. "harmful": it is a fault that had to be found.
        "new-normal": from now on it is what the baseline holds.
    reason, author
        Why, and who says so.
    made_at
        When it was said.
    feature, check
        Of which violations; None: of all.
    until
        Windows that start before it are meant, too, of "expected"; None: the window alone.
    version_before, version_after
        Of "new-normal": the baseline's version that was replaced, and the one in its place.
    rows
        Of "new-normal": the captured time that it was made of.
    withdrawn_at, withdrawn_by
        When and by whom it was taken back; it is history then.
    id
        Counts up; None before it is stored.

    Raises
    ------
    InputError
        When a verdict is none, the reason is missing or too long, or a time does not fit.
    """

    monitor: str
    window: Window
    verdict: str
    reason: str
    author: str
    made_at: datetime
    feature: str | None = None
    check: str | None = None
    until: datetime | None = None
    version_before: str | None = None
    version_after: str | None = None
    rows: Window | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None
    id: int | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(
                f'mark as "{self.verdict[:40]}"; expected one of {", ".join(VERDICTS)}'
            )
        for what, text in (("reason", self.reason), ("author", self.author)):
            if not text.strip() or len(text) > TEXT_MAX:
                raise InputError(
                    f"{what} of a mark: {len(text)} characters; expected 1 to {TEXT_MAX}, for "
                    "those who read it later"
                )
        if self.until is not None and self.verdict != EXPECTED:
            raise InputError(
                f'until {self.until.isoformat()} with "{self.verdict}"; expected "{EXPECTED}", the '
                "only one that lasts"
            )
        if self.until is not None and self.until < self.window.end:
            raise InputError(
                f"until {self.until.isoformat()}; expected a time after the window's end, "
                f"{self.window.end.isoformat()}"
            )

    @property
    def span(self) -> Window:
        """The time in which windows start that it is about."""
        end = self.window.end if self.until is None else max(self.until, self.window.end)
        return Window(self.window.start, end)

    @property
    def is_quiet(self) -> bool:
        """Whether what it covers does not alarm."""
        return self.verdict != HARMFUL

    def reaches(self, window: Window) -> bool:
        """Whether a window is among those that it is about."""
        return self.span.start <= window.start < self.span.end

    def covers(self, feature: str, check: str, window: Window) -> bool:
        """Whether a violation is among those that it is about."""
        is_named = self.feature in (None, feature) and self.check in (None, check)
        return is_named and self.reaches(window)

    def withdrawn(self, by: str, at: datetime) -> Mark:
        """Give it as taken back."""
        return replace(self, withdrawn_by=by, withdrawn_at=at)

    def to_dict(self) -> dict[str, JsonValue]:
        """Give plain JSON values in a fixed order."""
        return {
            "id": self.id,
            "monitor": self.monitor,
            "feature": self.feature,
            "check": self.check,
            "window_start": self.window.start.isoformat(),
            "window_end": self.window.end.isoformat(),
            "until": _text(self.until),
            "verdict": self.verdict,
            "author": self.author,
            "reason": self.reason,
            "made_at": self.made_at.isoformat(),
            "baseline_version_before": self.version_before,
            "baseline_version_after": self.version_after,
            "rows_from": None if self.rows is None else self.rows.start.isoformat(),
            "rows_to": None if self.rows is None else self.rows.end.isoformat(),
            "withdrawn_at": _text(self.withdrawn_at),
            "withdrawn_by": self.withdrawn_by,
        }


def standing_mark(
    marks: Sequence[Mark] | Iterable[Mark], feature: str, check: str, window: Window
) -> Mark | None:
    """Return the mark that counts for a violation: the newest that covers it and stands."""
    found = [
        one for one in marks if one.withdrawn_at is None and one.covers(feature, check, window)
    ]
    return max(found, key=lambda one: one.id or 0, default=None)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
