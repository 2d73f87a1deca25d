"""Waits, on conditions and not on time, until everything that was started has come to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from driftline.demo.house import House
from driftline.demo.receiver import Receiver
from driftline.demo.replay import Replay

__all__ = ["settle", "unfinished"]

POLL_S = 0.2
# Waiting goes on as long as something moves; it ends when nothing has for so long.
PATIENCE_S = 60.0
ENDED = frozenset({"Completed", "CompletedWithViolations", "Failed"})
UNDELIVERED = frozenset({"pending", "delivering"})


def settle(
    replay: Replay, receiver: Receiver, house: House, *, end: datetime, check: Callable[[], None]
) -> list[str]:
    """Wait until windows, alarms and deliveries are done.

    Parameters
    ----------
    end
        End of the last window.
    check
        Raises when a process of the installation is gone for good.

    Returns
    -------
    list of str
        What is still unfinished after nothing has moved for PATIENCE_S; empty when all is done.
    """
    pause = threading.Event()
    until = time.monotonic() + PATIENCE_S
    before: list[str] = []
    while left := unfinished(replay, receiver, house, end=end):
        check()
        if left != before:
            before, until = left, time.monotonic() + PATIENCE_S
        if time.monotonic() > until:
            break
        pause.wait(POLL_S)
    return left


def unfinished(replay: Replay, receiver: Receiver, house: House, *, end: datetime) -> list[str]:
    """Name the first stage that is not done, with how far it is; later ones depend on it."""
    progress = replay.follow()
    if progress.stored_requests < len(replay.ledger.answers):
        return [f"stored: {progress.stored_requests} of {len(replay.ledger.answers)} requests"]
    executions = house.executions()
    ended = sum(one["status"] in ENDED for one in executions.values())
    if ended < replay.day_count:
        return [f"judged: {ended} of {replay.day_count} windows"]
    behind = [
        f"evaluated: {alarm['name']} until {alarm['evaluated_until']}"
        for alarm in house.alarms()
        if not _is_evaluated(alarm, end)
    ]
    if behind:
        return behind
    deliveries = house.deliveries()
    left = sum(one["status"] in UNDELIVERED for one in deliveries)
    if left:
        return [f"delivered: {len(deliveries) - left} of {len(deliveries)} messages"]
    return []


def _is_evaluated(alarm: dict[str, object], end: datetime) -> bool:
    until = alarm["evaluated_until"]
    if not isinstance(until, str):
        return False
    return datetime.fromisoformat(until) >= end - timedelta(seconds=1)
