"""When an alarm is judged: as its datapoints arrive, or by the clock as CloudWatch does.

Alarms on monitors follow their datapoints: each stands for a window that ended, and may come hours
later. All others are judged at ticks of the clock, over a window that ends at the tick: every ten
seconds where periods are shorter than a minute, every minute, and every hour where the window is
longer than a day. Pure; the time comes as an argument.

References
----------
CloudWatch User Guide, "Alarm evaluation": high-resolution and multi-day alarms.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EVALUATION_ERROR = "EVALUATION_ERROR"  # CloudWatch API, EvaluationState.
ON_ARRIVAL = 0  # The cadence of alarms that follow their datapoints.
CADENCES_S = (10, 60, 3_600)
PARTS = 8  # Enough to share between evaluators; each costs a few statements a tick.
CATCH_UP_S = 3_600  # Ticks missed for longer are given up, all but the newest few.

_MINUTE_S, _DAY_S = 60, 86_400
_SKEW_LEAST_S = 120
_CATCH_UP_LEAST = 5  # Ticks.
_PAUSE_TICKS = 3
_PAUSE_LEAST_S = 120
_GRACE_PERIODS, _GRACE_LEAST_S, _GRACE_MAX_S = 2, 120, 900


def cadence_s(period_s: int, evaluation_periods: int, *, is_on_arrival: bool) -> int:
    """Return the seconds between two evaluations of an alarm; 0 when it follows its datapoints."""
    if is_on_arrival:
        return ON_ARRIVAL
    if period_s < _MINUTE_S:
        return 10
    return 3_600 if period_s * evaluation_periods > _DAY_S else _MINUTE_S


def newest_tick(now: datetime, cadence: int, settle_s: float = 0.0) -> datetime:
    """Return the newest tick that is at least ``settle_s`` seconds ago."""
    seconds = (now.timestamp() - settle_s) // cadence * cadence
    return datetime.fromtimestamp(seconds, UTC)


def next_tick(now: datetime, cadence: int) -> datetime:
    """Return the first tick after a time."""
    return newest_tick(now, cadence) + timedelta(seconds=cadence)


def ticks(judged_until: datetime | None, newest: datetime, cadence: int) -> list[datetime]:
    """Return the ticks to judge, oldest first: all that were missed in the last hour.

    A mark far in the future, of a clock that jumped, counts as none. One that is a little ahead is
    another machine's: to judge before it would undo and repeat its changes.
    """
    step = timedelta(seconds=cadence)
    if judged_until is None or judged_until > newest + far_ahead(cadence):
        return [newest]
    most = max(CATCH_UP_S // cadence, _CATCH_UP_LEAST)
    count = min((newest - judged_until) // step, most)
    return [newest - step * back for back in range(count - 1, -1, -1)]


def far_ahead(cadence: int) -> timedelta:
    """Return by how much clocks of two machines may differ, before a mark counts as wrong."""
    return timedelta(seconds=max(cadence, _SKEW_LEAST_S))


def is_pause(judged_until: datetime | None, newest: datetime, cadence: int) -> bool:
    """Whether nothing was judged for so long that writers of metrics may have stood, too."""
    if judged_until is None:
        return True
    return newest - judged_until > timedelta(seconds=max(_PAUSE_TICKS * cadence, _PAUSE_LEAST_S))


def silence_counts_from(resumed_at: datetime, period_s: int) -> datetime:
    """Return the time from which missing datapoints may change a state after a pause.

    A machine that slept, or was down, finds its metrics silent: that is its own silence until the
    writers have had two periods, within 2 and 15 minutes.
    """
    grace_s = min(max(_GRACE_PERIODS * period_s, _GRACE_LEAST_S), _GRACE_MAX_S)
    return resumed_at + timedelta(seconds=grace_s)
