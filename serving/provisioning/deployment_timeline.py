"""The timeline of a deployment: from how far it is, and what is seen, to how far it is next.

Pure: no clock, no database. A step of the timeline is a share of the requests. First the workers of
the new fleet that it takes are started (Creating), then it gets its share (Baking) until its wait
is over. A rolling update lets as many of the old workers go as there are new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from driftline.serving.resources.deployments import Deployment


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a deployment at one moment."""

    is_new_whole: bool  # Whether all workers of the new fleet that are to run can answer;
    is_old_whole: bool  # those of the old fleet.
    problem: str | None = None  # Why it is to be taken back.


def next_move(at: Deployment, seen: Seen, now: datetime) -> Deployment:
    """Return how far a deployment is next; the same where nothing is to be done yet."""
    if at.stage == "RollingBack":
        return _take_back(at, seen)
    if at.stage in ("Succeeded", "RolledBack"):
        return at
    problem, config = seen.problem, at.config
    if problem is None and now >= at.deadline:
        limit_s = (at.deadline - at.started_at).total_seconds()
        problem = f"it took longer than maximum_execution_timeout_in_seconds, {limit_s:g} s"
    if problem is not None:
        taken_back = replace(at, stage="RollingBack", reason=problem, since=now)
        if config.rolling_update_policy is not None and at.share > 0:
            return replace(taken_back, old_part=_restored(at))
        return replace(taken_back, share=0.0, old_part=1.0)
    if at.stage == "Creating":
        if not seen.is_new_whole:
            return at
        share = config.shares(at.worker_count)[at.step]
        old_part = 1.0 if config.rolling_update_policy is None else 1 - share
        return replace(at, stage="Baking", share=share, old_part=old_part, since=now)
    if not seen.is_new_whole:  # As after a server that was killed: watched anew from here.
        again = at_step(at, at.step, now)
        # The old fleet is whole, but for those that a rolling update let go.
        return again if config.rolling_update_policy is not None else replace(again, share=0.0)
    over_s = (now - at.since).total_seconds()
    if at.stage == "Baking" and over_s >= config.wait_s:
        if at.step + 1 < len(config.shares(at.worker_count)):
            return at_step(at, at.step + 1, now)
        return replace(at, stage="Terminating", since=now)
    if at.stage == "Terminating" and over_s >= config.termination_wait_s:
        return replace(at, stage="Succeeded")
    return at


def at_step(at: Deployment, step: int, now: datetime) -> Deployment:
    """Return a deployment whose workers of a step are started; requests go on as in the last."""
    shares = [0.0, *at.config.shares(at.worker_count)]
    is_rolling = at.config.rolling_update_policy is not None
    return replace(
        at, stage="Creating", step=step, share=shares[step], new_part=shares[step + 1],
        old_part=1 - shares[step] if is_rolling else 1.0, since=now,
    )  # fmt: skip


def deadline_of(at: Deployment) -> datetime:
    """Return when a deployment is taken back for taking too long."""
    return at.started_at + timedelta(seconds=at.config.timeout_s(at.worker_count))


def _restored(at: Deployment) -> float:
    """Return the part of the old workers that run after the next batch of a rollback."""
    return min(1.0, 1 - at.share + at.config.rollback_part(at.worker_count))


def _take_back(at: Deployment, seen: Seen) -> Deployment:
    """Give the old fleet back its requests, once it has the workers for them."""
    if at.share <= 0:
        return replace(at, stage="RolledBack")
    if not seen.is_old_whole:
        return at
    moved = replace(at, share=round(1 - at.old_part, 9), new_part=1 - at.old_part)
    return replace(moved, old_part=_restored(moved))
