"""Places limit how many windows are run at once, the urgent ones first."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, func, select

from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.errors import UnavailableError
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.run import places as module
from driftline.monitors.run.places import WAITING, Places
from driftline.monitors.run.scheduler import Scheduler
from tests.clock import Clock
from tests.monitors.conftest import START
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


LEASE = timedelta(minutes=5)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def two(engine: Engine, clock: Clock) -> Places:
    return Places(engine, 2, clock)


def test_no_more_than_the_limit_have_a_place(two: Places) -> None:
    assert [two.take(name, name, 0) for name in "abc"] == [True, True, False]
    assert two.take("a", "a", 0)  # It keeps its own.

    two.release("a", "a")

    assert two.take("c", "c", 0)


def test_the_higher_priority_comes_first_and_gets_the_place_of_a_lower_one(two: Places) -> None:
    for name in "ab":
        two.take(name, name, 0)
    assert not two.take("urgent", "c", 5)

    assert not two.take("a", "a", 0)  # At its next window it gives way.
    assert two.take("urgent", "c", 5)
    assert two.take("b", "b", 0)


def test_the_place_of_one_that_died_is_free_when_its_lease_has_run_out(
    two: Places, clock: Clock
) -> None:
    for name in "ab":
        two.take(name, name, 0)
    clock.time += LEASE - timedelta(seconds=1)
    assert not two.take("c", "c", 0)

    clock.advance(seconds=1)

    assert two.take("c", "c", 0)


def test_a_place_is_renewed_however_long_a_window_takes(
    two: Places, clock: Clock, monkeypatch
) -> None:
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.01)
    for name in "ab":
        two.take(name, name, 0)
    ends = select(func.max(tables.places.c.expires_at))

    with two.renewed("a", "a"):
        clock.time += LEASE - timedelta(seconds=1)
        for _ in range(1000):
            with two.engine.connect() as connection:
                if connection.scalar(ends) > START + LEASE:
                    break
            threading.Event().wait(0.01)
        clock.advance(seconds=2)
        assert [two.take(name, name, 0) for name in "cd"] == [True, False]


def test_a_request_waits_for_its_place_and_is_told_to_come_again(two: Places, monkeypatch) -> None:
    monkeypatch.setattr(module, "REQUEST_S", 0.5)
    for name in "ab":
        two.take(name, name, 0)

    refused = pytest.raises(UnavailableError, match=r"max_concurrent_runs allows, 2; try again$")
    with refused, two.of_request(0):
        raise AssertionError
    # It is freed in time, however slow the machine is.
    monkeypatch.setattr(module, "REQUEST_S", 60.0)
    freed = threading.Timer(0.1, two.release, ("a", "a"))
    freed.start()
    with two.of_request(0):
        assert not two.take("c", "c", 0)
    freed.join()

    two.release("b", "b")
    with two.engine.connect() as connection:
        assert set(connection.scalars(select(tables.places.c.work))) == {"c"}


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(one, marks=pytest.mark.full) for one in (1, 2, 3))]
)
def test_whoever_comes_and_dies_the_limit_holds_and_each_has_its_turn(
    engine: Engine, clock: Clock, seed: int
) -> None:
    """Random work of random priorities; the oracle keeps who runs and who waits by itself."""
    rng = random.Random(seed)
    limit = rng.randint(1, 3)
    places = Places(engine, limit, clock)
    left = {f"w{number}": rng.choice([-1, 0, 0, 5]) for number in range(12)}
    running: dict[str, object] = {}  # Until when at most, by work.
    asked: dict[str, object] = {}
    dead: set[str] = set()
    for _ in range(400):
        clock.advance(seconds=1)
        running = {work: end for work, end in running.items() if end > clock.time}
        if running and rng.random() < 0.4:
            work = rng.choice(sorted(running))
            if rng.random() < 0.2:
                dead.add(work)  # Killed: it releases nothing.
            elif work not in dead:
                places.release(work, work)
                del running[work], left[work]
        waiting = sorted(set(left) - set(running))
        dead -= set(waiting)
        if not waiting:
            continue
        work = rng.choice(waiting)
        urgent = [
            other for other, at in asked.items()
            if other in waiting and other != work and left[other] > left[work]
            and at + WAITING > clock.time
        ]  # fmt: skip
        is_free = len(running) + len(urgent) < limit
        assert places.take(work, work, left[work]) == is_free
        asked[work] = clock.time
        if is_free:
            running[work] = clock.time + LEASE
            asked.pop(work)
        assert len(running) <= limit
    clock.time += LEASE
    for work in sorted(left, key=lambda one: -left[one]):
        assert places.take(work, work, left[work])
        places.release(work, work)


@pytest.fixture
def schedulers(engine: Engine, tmp_path, clock: Clock):
    """Make schedulers of two monitors without traffic, which has one place."""
    root = str(tmp_path / "store")
    values = np.random.default_rng(1).normal(size=200)
    store.put(root, "b", Baseline.fit(pa.table({"x": values})), lambda: START)
    signature = store.get(root, "b").signature
    low = MonitorDefinition("low", endpoint="e", baseline="b", start=START)
    with engine.begin() as connection:
        for one in (low, replace(low, name="high", priority=9)):
            put_definition(connection, one, START)
    return lambda: Scheduler(
        engine, root, lambda _: signature, now=clock, max_concurrent_runs=1
    )  # fmt: skip
