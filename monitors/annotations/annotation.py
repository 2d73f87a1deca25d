"""An annotation of a monitor's violation, or of a window without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.results.violation import JsonValue, Violation

EXPECTED, HARMFUL, NEW_NORMAL = "expected", "harmful", "new-normal"
VERDICTS = (EXPECTED, HARMFUL, NEW_NORMAL)
TEXT_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotation, as it is stored and sent; it changes only by being withdrawn."""

    id: int | None = None  # Counts up; None before it is stored.
    monitor: str
    feature: str | None = None  # None: any.
    check: str | None = None  # None: any.
    window_start: datetime  # Of the window that was looked at.
    window_end: datetime
    until: datetime | None = None  # Of "expected": windows that start before it, too.
    verdict: str
    author: str
    reason: str
    made_at: datetime
    # Of "new-normal": the version that was replaced, by which, and the captured time it is made of.
    baseline_version_before: str | None = None
    baseline_version_after: str | None = None
    rows_from: datetime | None = None
    rows_to: datetime | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None

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
        if self.until is not None and self.until < self.window_end:
            raise InputError(
                f"until {self.until.isoformat()}; expected a time after the window's end, "
                f"{self.window_end.isoformat()}"
            )

    @property
    def window(self) -> Window:
        """The window that was looked at."""
        return Window(self.window_start, self.window_end)

    @property
    def rows(self) -> Window | None:
        """The captured time that a new normal is made of."""
        if self.rows_from is None or self.rows_to is None:
            return None
        return Window(self.rows_from, self.rows_to)

    @property
    def span(self) -> Window:
        """The time in which its windows start."""
        end = self.window_end if self.until is None else max(self.until, self.window_end)
        return Window(self.window_start, end)

    @property
    def is_quiet(self) -> bool:
        """Whether its violations do not alarm."""
        return self.verdict != HARMFUL

    def includes(self, window: Window) -> bool:
        """Whether it is about a window."""
        return self.span.start <= window.start < self.span.end

    def covers(self, feature: str, check: str, window: Window) -> bool:
        """Whether it is about a violation."""
        is_named = self.feature in (None, feature) and self.check in (None, check)
        return is_named and self.includes(window)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class ExpectedViolation:
    """A violation with the annotation that expects it."""

    violation: Violation
    annotation: Annotation

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the violation as plain JSON values, with the annotation."""
        return {**self.violation.to_dict(), "mark": self.annotation.to_dict()}


def annotation_of(
    annotations: Iterable[Annotation], feature: str, check: str, window: Window
) -> Annotation | None:
    """Return the newest annotation that covers a violation."""
    covering = (
        annotation
        for annotation in annotations
        if annotation.withdrawn_at is None and annotation.covers(feature, check, window)
    )
    return max(covering, key=lambda annotation: annotation.id or 0, default=None)
