"""Rules are laid out once for what they rest on, and no more are kept than room is for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from driftline.baseline import store as baselines
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test import DriftTest
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.kinds.data_quality import judgement as data_quality
from driftline.monitors.run.execution import Job, run
from tests.monitors.conftest import DAY, START, Append, weather


def clock() -> datetime:
    return datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def backend() -> str:
    return "sqlite"  # The SQL is no matter of the cache.


def test_the_same_key_of_a_version_gives_the_same_test() -> None:
    cache = DriftTestCache()
    first = cache.get("v1", "a", lambda: DriftTest({}))

    assert cache.get("v1", "a", lambda: DriftTest({})) is first
    assert cache.get("v1", "b", lambda: DriftTest({})) is not first
    assert cache.get("v2", "a", lambda: DriftTest({})) is not first


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    cache = DriftTestCache(size=2, each=2)
    kept = {name: cache.get("v1", name, lambda: DriftTest({})) for name in "ab"}
    cache.get("v1", "a", lambda: DriftTest({}))
    cache.get("v1", "c", lambda: DriftTest({}))

    assert cache.get("v1", "a", lambda: DriftTest({})) is kept["a"]
    assert cache.get("v1", "b", lambda: DriftTest({})) is not kept["b"]

    for version in ("v2", "v3"):
        cache.get(version, "a", lambda: DriftTest({}))
    assert cache.get("v1", "a", lambda: DriftTest({})) is not kept["a"]


def test_many_tests_of_one_window_do_not_drive_each_other_out() -> None:
    """As of a monitor that judges 33 columns of segments."""
    cache, made = DriftTestCache(), []

    for _ in range(3):
        for column in range(33):
            cache.get("v1", ("steps", column), lambda: made.append(1))

    assert len(made) == 33


def test_windows_share_a_rule_until_the_question_changes(
    engine: Engine, root: str, reference: Baseline, append: Append, rng, monkeypatch
) -> None:
    made: list[int] = []

    def counted(*arguments: object) -> DriftTest:
        made.append(1)
        return DriftTest(*arguments)  # type: ignore[arg-type]  # Handed on as they come.

    monkeypatch.setattr(data_quality, "DriftTest", counted)
    baselines.put(root, "flights", reference, clock)
    cache, counts = DriftTestCache(), []
    for day, budget in enumerate((1.0, 1.0, 1.0, 2.0)):
        append(day, weather(rng, 60))
        run(Job(
            engine, root,
            MonitorDefinition(
                "daily", endpoint="flights", baseline="flights", false_alarms_per_year=budget
            ),
            Window(START + day * DAY, START + (day + 1) * DAY),
            now=clock, signature=reference.signature, drift_tests=cache,
        ))  # fmt: skip
        counts.append(len(made))

    assert counts == [1, 1, 1, 2]
