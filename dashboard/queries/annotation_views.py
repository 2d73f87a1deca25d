"""What the pages show of marks: those that reach a window, and what they made expected."""

from __future__ import annotations

from dataclasses import dataclass

from driftline.monitors.annotations.annotation import Mark


@dataclass(frozen=True, slots=True)
class ExpectedLine:
    """A violation that a mark expects: of which feature and check, and what was found."""

    feature: str
    check: str
    words: str
    mark: int | None


@dataclass(frozen=True, slots=True)
class MarksView:
    """Marks of one window of a monitor.

    ``stamp`` names the window; ``features`` are those that can be marked, ``chosen`` the one that
    the page shows. ``marks`` stand, the newest first.
    """

    monitor: str
    stamp: str
    is_judged: bool
    features: tuple[str, ...]
    chosen: str | None
    marks: tuple[Mark, ...]
    expected: tuple[ExpectedLine, ...]
