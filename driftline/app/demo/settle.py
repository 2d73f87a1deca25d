"""Waits, on conditions and not on time, until everything that was started has come to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.app.demo.installation import Installation
from driftline.app.demo.pace import Cadence, Pace
from driftline.app.demo.replay import Replay
from driftline.app.demo.resources import WATCHED

POLL_S = 0.05
# Waiting goes on as long as something moves; it ends when nothing has for so long.
PATIENCE_S = 60.0
UNDELIVERED = frozenset({"pending", "delivering"})


@dataclass(frozen=True, slots=True)
class Ending:
    """Who can say how far everything is, and where it ends."""

    replay: Replay
    pace: Pace
    installation: Installation
    cadences: Sequence[Cadence]
    end: datetime


def settle(
    ending: Ending, check: Callable[[], None], advance: Callable[[int, int | None], None]
) -> list[str]:
    """Wait until windows, alarms and deliveries are done."""
    pause = threading.Event()
    until = time.monotonic() + PATIENCE_S
    before: list[str] = []
    while left := unfinished(ending):
        check()
        advance(ending.pace.passed_days, ending.replay.day_count)
        if left != before:
            before, until = left, time.monotonic() + PATIENCE_S
        if time.monotonic() > until:
            break
        pause.wait(POLL_S)
    return left


def unfinished(ending: Ending) -> list[str]:
    """Name the first stage that is not done, with how far it is; later ones depend on it."""
    replay, installation, end = ending.replay, ending.installation, ending.end
    stored = installation.stored_requests(len(replay.ledger.answers))
    ending.pace.follow(lambda: replay.whole_days(stored), replay.event_ids)
    if stored < len(replay.ledger.answers):
        return [f"stored: {stored} of {len(replay.ledger.answers)} requests"]
    if ending.pace.passed_days < replay.day_count:
        return [f"passed: {ending.pace.passed_days} of {replay.day_count} days"]
    for one in ending.cadences:
        ends = one.ends(end)
        judged = installation.judged_until(one.monitor)
        if ends and (judged is None or judged < ends[-1]):
            return [f"judged: {one.monitor} until {judged} of {ends[-1]}"]
    if behind := _behind(ending):
        return behind
    deliveries = installation.messages()
    left = sum(one["status"] in UNDELIVERED for one in deliveries)
    if left:
        return [f"delivered: {len(deliveries) - left} of {len(deliveries)} messages"]
    return []


def _behind(ending: Ending) -> list[str]:
    """Name the alarms that have not seen the last window of their monitor."""
    needed = {}
    for one in ending.cadences:
        ends = one.ends(ending.end)
        if ends:
            needed[one.monitor] = ends[-1]
    return [
        f"evaluated: {alarm['name']} until {alarm['evaluated_until']}"
        for alarm in ending.installation.alarm_statuses()
        if not _is_evaluated(alarm, needed.get(WATCHED[alarm["name"]]))
    ]


def _is_evaluated(alarm: dict[str, object], end: datetime | None) -> bool:
    until = alarm["evaluated_until"]
    if end is None:
        return True  # Its monitor has not had a whole window.
    return isinstance(until, str) and datetime.fromisoformat(until) >= end - timedelta(seconds=1)
