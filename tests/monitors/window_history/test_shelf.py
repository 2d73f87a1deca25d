"""Rules are laid out once for what they rest on, and no more are kept than room is for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from driftline.baseline import store as baselines
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test import Decider
from driftline.monitors.kinds.data_quality import judgement as data_quality
from driftline.monitors.run.execution import run
from driftline.monitors.window_history.shelf import DeciderShelf
from tests.monitors.conftest import DAY, START, Append, weather


def clock() -> datetime:
    return datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture
def backend() -> str:
    return "sqlite"  # The SQL is no matter of the shelf.


def test_the_same_key_gives_the_same_rule() -> None:
    shelf = DeciderShelf()
    first = shelf.get("a", lambda: Decider({}))

    assert shelf.get("a", lambda: Decider({})) is first
    assert shelf.get("b", lambda: Decider({})) is not first


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    shelf = DeciderShelf(size=2)
    kept = {name: shelf.get(name, lambda: Decider({})) for name in "ab"}
    shelf.get("a", lambda: Decider({}))
    shelf.get("c", lambda: Decider({}))

    assert shelf.get("a", lambda: Decider({})) is kept["a"]
    assert shelf.get("b", lambda: Decider({})) is not kept["b"]


def test_windows_share_a_rule_until_the_question_changes(
    engine: Engine, root: str, reference: Baseline, append: Append, rng, monkeypatch
) -> None:
    made: list[int] = []

    def counted(*arguments: object) -> Decider:
        made.append(1)
        return Decider(*arguments)  # type: ignore[arg-type]  # Handed on as they come.

    monkeypatch.setattr(data_quality, "Decider", counted)
    baselines.put(root, "flights", reference, clock)
    shelf, counts = DeciderShelf(), []
    for day, budget in enumerate((1.0, 1.0, 1.0, 2.0)):
        append(day, weather(rng, 60))
        run(
            engine, root,
            MonitorDefinition(
                "daily", endpoint="flights", baseline="flights", false_alarms_per_year=budget
            ),
            Window(START + day * DAY, START + (day + 1) * DAY),
            now=clock, signature=reference.signature, deciders=shelf,
        )  # fmt: skip
        counts.append(len(made))

    assert counts == [1, 1, 1, 2]
