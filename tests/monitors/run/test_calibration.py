"""Estimates without labels end where another model answers, until it is known that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

import driftline as dl
from driftline.baseline import store
from driftline.capture.labels.labels import put
from driftline.capture.windows.window import Window
from driftline.monitors.answering_models import Served
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.executions import Execution, state_of
from driftline.monitors.kinds.model_quality.stale_estimates import UNWEIGHTED
from driftline.monitors.run.labelled_baseline import put_labelled, read_labelled
from tests.monitors.conftest import DAY, START, append_day, run_day

DEFINITION = MonitorDefinition(
    "quality", endpoint="flights", baseline="flights", kind="model-quality"
)
CHANGE = START + 2 * DAY
CHANGED = "cannot estimate: the model was changed on 2024-01-03 00:00 UTC, "
SERVED = [Served(START - 9 * DAY, frozenset("a")), Served(CHANGE, frozenset("b"))]
BACK = [*SERVED, Served(START + 4 * DAY, frozenset("a"))]
USUAL = 1.5


def answers(seed: int, slope: float | None = USUAL, *, rows: int = 1_500) -> pa.Table:
    """Answers of one model, and labels that follow from their inputs as ever or otherwise."""
    rng = np.random.default_rng(seed)
    x, z, chance = rng.normal(size=rows), rng.normal(size=rows), rng.random(rows)
    inputs = {"x": x, "z": z, "score": 1 / (1 + np.exp(-(USUAL * x + z)))}
    if slope is None:
        return pa.table(inputs)
    late = chance < 1 / (1 + np.exp(-(slope * x + z)))
    return pa.table({**inputs, "late": late.astype(np.int64)})


@pytest.fixture(scope="module")
def baseline() -> dl.Baseline:
    return dl.Baseline.fit(answers(1, rows=6_000), label="late", probability="score")


@pytest.fixture
def captured(root: str, baseline: dl.Baseline) -> None:
    for day in range(7):
        columns = answers(2 + day, None).to_pydict()
        rows = {name: np.array(values) for name, values in columns.items()}
        append_day(root, baseline.signature, day, rows)


@pytest.fixture
def judge(engine: Engine, root: str, baseline: dl.Baseline, captured: None):
    """Judge a day; what is wanted of it: why nothing is estimated, "" where something is."""

    def one(day: int, served: Sequence[Served] = SERVED, **more: object) -> str:
        found = run(day, served, **more)
        if found.status == "NoData":
            return found.failure_reason or ""
        assert found.status == "InsufficientData"
        assert state_of(found.status, found.failure_reason, 0) == "unlabelled"
        return ""

    def run(day: int, served: Sequence[Served], **more: object) -> Execution:
        given = {"served": lambda: served, "drift_tests": DriftTestCache(), **more}
        definition = given.pop("definition", DEFINITION)
        return run_day(engine, root, baseline, definition, day, now=later, **given)

    one.run = run
    return one


def later() -> datetime:
    return START + 30 * DAY


def keep(root: str, baseline: dl.Baseline, at: datetime, **origin: object) -> None:
    store.put(root, "flights", baseline, lambda: at, origin)


def load(root: str, day: int, slope: float = USUAL) -> None:
    table = answers(2 + day, slope)
    keys = pa.array([f"a-{day * 1_000_000 + at}" for at in range(len(table))])
    index = pa.array([0] * len(table), pa.int32())
    labels = pa.table({"key": keys, "row_index": index, "label": table["late"].cast("string")})
    put(root, "flights", labels, lambda: START + 20 * DAY + timedelta(hours=day))


def test_windows_before_a_change_of_models_are_estimated_and_those_after_it_are_not(
    judge, root: str, baseline: dl.Baseline
) -> None:
    keep(root, baseline, START - DAY)
    within = [SERVED[0], replace(SERVED[1], since=CHANGE + DAY / 2)]

    before, after, during = judge(1), judge(2), judge(2, within, definition=second())

    assert before == ""
    assert f"{CHANGED}after the baseline was made" in after
    assert "2024-01-03 12:00 UTC, within this window: it may hold rows of both models" in during
    assert judge(3, served=[], definition=second()) == "", "nothing is known, nothing is said"


def test_a_shadow_that_always_was_there_is_not_estimated_as_what_callers_got(
    judge, root: str, baseline: dl.Baseline
) -> None:
    keep(root, baseline, START - DAY)
    first = Served(START - 9 * DAY, frozenset("b"), callers=frozenset("a"))

    assert judge(1, [first]).endswith(f"cannot estimate: {UNWEIGHTED}")
    assert judge(2, [replace(first, models=frozenset("a"))]) == ""


def second() -> MonitorDefinition:
    return replace(DEFINITION, name="second")


@pytest.mark.parametrize(
    ("made_at", "begun", "is_estimated"),
    [
        (CHANGE - DAY, CHANGE - DAY / 24, False),
        (CHANGE - DAY / 48, None, False),
        (CHANGE - DAY / 48, CHANGE - DAY / 24, True),  # In one and the same `apply`.
        (CHANGE, CHANGE, True),
        (CHANGE + DAY, CHANGE, True),
        (START - 20 * DAY, None, False),  # It is of the first model, though that came later.
    ],
)
def test_a_baseline_is_of_the_models_that_answer_when_it_is_made_or_that_came_with_it(
    judge, root: str, baseline: dl.Baseline,
    made_at: datetime, begun: datetime | None, is_estimated: bool,
) -> None:  # fmt: skip
    keep(root, baseline, made_at, data="rows.parquet")
    served = [SERVED[0], replace(SERVED[1], begun=begun)]

    assert (judge(5, served) == "") is is_estimated
    assert (judge(1, served, definition=second()) == "") is not is_estimated


def test_a_version_with_the_labels_of_an_earlier_one_is_of_the_earlier_ones_model(
    judge, root: str, baseline: dl.Baseline
) -> None:
    changed = replace(baseline, documents={**baseline.documents, store.CHANGES: '{"changes": []}'})
    keep(root, baseline, START - DAY, data="rows.parquet")
    # Such as one that is explained for the new model, or is of rows without labels.
    keep(root, changed, CHANGE + DAY, endpoint="flights")

    assert CHANGED in judge(5)
    new = dl.Baseline.fit(answers(99, rows=6_000), label="late", probability="score")
    keep(root, new, CHANGE + DAY, data="others.parquet")
    assert judge(5) == ""
    assert judge(5, definition=replace(DEFINITION, baseline_version=changed.version)) != ""


@pytest.mark.parametrize(("first", "is_estimated"), [(1, False), (2, True)])
def test_a_version_of_labelled_rows_is_of_the_models_that_answered_them(
    judge, root: str, baseline: dl.Baseline, first: int, is_estimated: bool
) -> None:
    keep(root, baseline, START - DAY)
    for day in range(first, 4):
        load(root, day)
    # What it was asked for may begin before the first row with a label.
    rows = partial(
        read_labelled, root, "flights",
        window=Window(START, START + 4 * DAY), signature=baseline.signature,
    )  # fmt: skip
    put_labelled(root, "flights", baseline.version, rows, later, {"endpoint": "flights"})

    found = judge(5)

    assert (found == "") is is_estimated
    assert ("while the rows came that the baseline has labels of" in found) is not is_estimated
