"""An annotation of a monitor's violation, or of a window without one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.results.violation import JsonValue, Violation

EXPECTED, HARMFUL, NEW_NORMAL = "expected", "harmful", "new-normal"
VERDICTS = (EXPECTED, HARMFUL, NEW_NORMAL)
TEXT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """An annotation as it is stored and sent."""

    id: int | None
    monitor: str
    feature: str | None
    check: str | None
    window_start: datetime
    window_end: datetime
    until: datetime | None
    verdict: str
    author: str
    reason: str
    made_at: datetime
    baseline_version_before: str | None
    baseline_version_after: str | None
    rows_from: datetime | None
    rows_to: datetime | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation; it changes only by being withdrawn."""

    monitor: str
    window: Window  # The window that was looked at.
    verdict: str
    reason: str
    author: str
    made_at: datetime
    feature: str | None = None  # None: any.
    check: str | None = None  # None: any.
    until: datetime | None = None  # Of "expected": windows that start before it, too.
    version_before: str | None = None  # Of "new-normal": the version that was replaced.
    version_after: str | None = None
    rows: Window | None = None  # Of "new-normal": the captured time that it was made of.
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None
    id: int | None = None  # Counts up; None before it is stored.

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
        """The time in which its windows start."""
        end = self.window.end if self.until is None else max(self.until, self.window.end)
        return Window(self.window.start, end)

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

    def withdrawn(self, by: str, at: datetime) -> Annotation:
        """Return the annotation as withdrawn."""
        return replace(self, withdrawn_by=by, withdrawn_at=at)

    @property
    def mark(self) -> Mark:
        """The annotation as stored and sent."""
        return Mark(
            id=self.id,
            monitor=self.monitor,
            feature=self.feature,
            check=self.check,
            window_start=self.window.start,
            window_end=self.window.end,
            until=self.until,
            verdict=self.verdict,
            author=self.author,
            reason=self.reason,
            made_at=self.made_at,
            baseline_version_before=self.version_before,
            baseline_version_after=self.version_after,
            rows_from=None if self.rows is None else self.rows.start,
            rows_to=None if self.rows is None else self.rows.end,
            withdrawn_at=self.withdrawn_at,
            withdrawn_by=self.withdrawn_by,
        )

    def to_dict(self) -> dict[str, JsonValue]:
        """Return plain JSON values in a fixed order."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self.mark).items()
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
