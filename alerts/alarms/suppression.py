"""When the actions of a composite alarm with a suppressor run: pure, for live use and for replay.

The state of the composite always changes at once; only its actions are held. CloudWatch User Guide,
"Alarm suppression": a change waits for the suppressor (WaitPeriod), is held while that is in ALARM,
and waits once more when it has left ALARM (ExtensionPeriod); then the actions of the composite's
current state run, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from driftline.alerts.alarms.alarm import State

SuppressedBy = Literal["WaitPeriod", "ExtensionPeriod", "Alarm"]


@dataclass(frozen=True, slots=True)
class Periods:
    """How long a composite waits before and after its suppressor's ALARM, in seconds."""

    wait_s: float
    extension_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """The wait or suppression of a composite's actions."""

    by: SuppressedBy | None = None  # None: nothing holds actions now.
    until: datetime | None = None  # None while the suppressor itself holds, or nothing does.
    is_owed: bool = False  # The state changed and its actions have not run since.

    @property
    def reason(self) -> str | None:
        """CloudWatch's ActionsSuppressedReason."""
        return None if self.by is None else f"Actions suppressed by {self.by}"


NOTHING_HELD: Final = Held()


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of time came to."""

    held: Held
    # When a wait ended before: then the actions of the state up to then ran.
    ran_at: datetime | None = None
    runs_now: bool = False  # Whether the actions of the state behind the step run at its time.


def step(
    held: Held,
    periods: Periods,
    at: datetime,
    *,
    suppressor: State,
    has_changed: bool = False,
) -> Step:
    """Advance to a time, and apply what happens at it.

    A wait that ends at a time ends before anything that happens at it; of simultaneous changes the
    suppressor's comes before the composite's.
    """
    ran_at = None
    if held.until is not None and held.until <= at:
        ran_at, held = held.until, NOTHING_HELD
    if suppressor == "ALARM":
        return Step(Held("Alarm", None, held.is_owed or has_changed), ran_at)
    if held.by == "Alarm":
        held = _wait("ExtensionPeriod", at, periods.extension_s) if held.is_owed else NOTHING_HELD
    if has_changed:
        held = _wait("WaitPeriod", at, periods.wait_s)
    if held.until is not None and held.until <= at:
        return Step(NOTHING_HELD, ran_at, runs_now=True)
    return Step(held, ran_at)


def _wait(by: SuppressedBy, at: datetime, length_s: float) -> Held:
    return Held(by, at + timedelta(seconds=length_s), is_owed=True)
