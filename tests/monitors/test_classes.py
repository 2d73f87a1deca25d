"""The same answers give the same numbers, however each system writes its classes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.labels.labels import put
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.report.report import Report
from driftline.monitors.run.captured_window import evaluate_captured, read_captured
from tests.monitors.conftest import DAY, START, append_day

# A system's way to write 0 and 1.
WAYS = {
    "int64": pa.array([0, 1]),
    "double": pa.array([0.0, 1.0]),
    "bool": pa.array([False, True]),
    "text": pa.array(["0", "1"]),
    "text with a point": pa.array(["0.0", "1.0"]),
    "text of truth": pa.array(["False", "True"]),
}
ROLES = {"label": "late", "prediction": "said", "facet": "origin=EWR"}
WINDOW = Window(START, START + DAY)


def rows(seed: int, count: int, label: str, said: str) -> pa.Table:
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.3
    answer = np.where(rng.random(count) < 0.8, truth, ~truth)
    return pa.table(
        {
            "origin": rng.choice(["EWR", "JFK"], count),
            "late": WAYS[label].take(pa.array(truth.astype(int))),
            "said": WAYS[said].take(pa.array(answer.astype(int))),
        }
    )


def numbers(report: Report) -> dict[str, float | None]:
    return {f"{one.name} {one.facet_value}": one.value for one in report.metrics}


@cache
def fitted(label: str, said: str) -> Baseline:
    return Baseline.fit(rows(1, 2_000, label, said), **ROLES)


SAID = "int64", "text", "text with a point"


@cache
def usual(kind: str) -> dict[str, float | None]:
    return numbers(check(rows(2, 500, "int64", "int64"), fitted("int64", "int64"), kind=kind))


@pytest.mark.first(4)
@pytest.mark.parametrize("kind", ["model-quality", "bias"])
@pytest.mark.parametrize(
    ("label", "said"),
    [
        pytest.param(label, said, marks=() if SAID[at % 3] == said else pytest.mark.full)
        for at, label in enumerate(WAYS)
        for said in SAID
    ],
)
def test_metrics_do_not_depend_on_the_ways_that_classes_are_written(kind, label, said) -> None:
    plain, mixed = fitted("int64", "int64"), fitted(label, said)
    today, other = rows(2, 500, "int64", "int64"), rows(2, 500, label, said)

    expected = usual(kind)

    assert mixed.outcomes.roles.problem == "binary"
    assert any(value not in (None, 0.0, 1.0) for value in expected.values())
    assert numbers(check(other, mixed, kind=kind)) == expected
    assert numbers(check(other, plain, kind=kind)) == expected
    assert numbers(check(today, mixed, kind=kind)) == expected


def test_a_positive_class_that_never_comes_is_refused() -> None:
    with pytest.raises(InputError, match='no column has this value; label "late" has 0, 1'):
        Baseline.fit(rows(1, 500, "int64", "text"), **ROLES, positive="2.0")


GIVEN = ("0", "1"), ("0.0", "1.0"), ("false", "TRUE")


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("label", "given"),
    [
        pytest.param(label, given, marks=() if GIVEN[at % 3] == given else pytest.mark.full)
        for at, label in enumerate(WAYS)
        for given in GIVEN
    ],
)
def test_labels_that_come_later_are_the_references_classes(root: str, label, given) -> None:
    baseline = fitted(label, "int64")
    today = rows(2, 400, "int64", "int64")
    captured = {name: today[name].to_numpy(zero_copy_only=False) for name in ("origin", "said")}
    append_day(root, baseline.signature, 0, captured)
    labels = {
        "key": [f"a-{place}" for place in range(400)],
        "label": [given[one] for one in today["late"].to_pylist()],
    }
    put(root, "flights", pa.table(labels), lambda: datetime(2024, 1, 3, tzinfo=UTC))
    versions.put(root, "flights", baseline, lambda: START)

    for kind in ("model-quality", "bias"):
        definition = MonitorDefinition("daily", "flights", "flights", kind=kind)
        read = read_captured(root, definition, WINDOW, baseline.signature, baseline)
        report = evaluate_captured(definition, baseline, read, predict=None, seed=0)

        assert (read.labelled_count, read.unfit_label_count) == (400, 0)
        assert numbers(report) == numbers(check(today, baseline, kind=kind))


WORDS = pa.array(["reject", "approve"])


def in_words(table: pa.Table) -> pa.Table:
    """Return the same rows from a model that answers in words."""
    place = table.column_names.index("said")
    return table.set_column(place, "said", WORDS.take(table["said"]))


@pytest.mark.parametrize("kind", ["model-quality", "bias"])
def test_answers_in_words_are_measured_like_those_in_numbers_once_they_are_named(kind) -> None:
    plain = Baseline.fit(rows(1, 2_000, "int64", "int64"), **ROLES)
    words = Baseline.fit(
        in_words(rows(1, 2_000, "int64", "int64")), **ROLES, positive=[1, "approve"]
    )
    today = rows(2, 500, "int64", "int64")

    expected = numbers(check(today, plain, kind=kind))

    assert numbers(check(in_words(today), words, kind=kind)) == expected
    assert numbers(check(in_words(today), plain, kind=kind, positive=[1, "approve"])) == expected
    assert numbers(check(in_words(today), words, kind=kind, positive="approve")) == expected


@pytest.mark.parametrize("kind", ["model-quality", "bias"])
def test_a_window_whose_answers_are_no_class_of_the_reference_is_refused(kind) -> None:
    plain = Baseline.fit(rows(1, 2_000, "int64", "int64"), **ROLES)
    words = Baseline.fit(
        in_words(rows(1, 2_000, "int64", "int64")), **ROLES, positive=[1, "approve"]
    )
    today = rows(2, 500, "int64", "int64")
    others = today.set_column(2, "said", pa.array(["no", "yes"]).take(today["said"]))

    for baseline, data in ((plain, in_words(today)), (words, others)):
        with pytest.raises(InputError, match="no value in common"):
            check(data, baseline, kind=kind)


@pytest.mark.parametrize("kind", ["data-quality", "model-quality", "bias"])
@pytest.mark.parametrize("positive", [[1, "approved"], [3, "approve"], [1, "approve", "granted"]])
def test_a_check_refuses_a_positive_value_that_neither_its_data_nor_the_baseline_has(
    kind, positive
) -> None:
    plain = Baseline.fit(rows(1, 2_000, "int64", "int64"), **ROLES)
    today = in_words(rows(2, 500, "int64", "int64"))
    wrong = {*map(str, positive)} - {"1", "approve"}

    with pytest.raises(InputError, match=f'positive "{wrong.pop()}": no column has this value'):
        check(iter_batches(today), plain, kind=kind, positive=positive)


def iter_batches(table: pa.Table) -> pa.RecordBatchReader:
    """Return rows that can be read once."""
    return table.to_reader()


@pytest.mark.parametrize("kind", ["model-quality", "bias"])
def test_captured_answers_in_words_meet_labels_in_numbers(root: str, kind) -> None:
    plain = Baseline.fit(rows(1, 2_000, "int64", "int64"), **ROLES)
    baseline = Baseline.fit(
        in_words(rows(1, 2_000, "int64", "int64")), **ROLES, positive=[1, "approve"]
    )
    today = rows(2, 400, "int64", "int64")
    said = in_words(today)
    captured = {name: said[name].to_numpy(zero_copy_only=False) for name in ("origin", "said")}
    append_day(root, baseline.signature, 0, captured)
    labels = {"key": [f"a-{n}" for n in range(400)], "label": today["late"].cast("string")}
    put(root, "flights", pa.table(labels), lambda: datetime(2024, 1, 3, tzinfo=UTC))
    versions.put(root, "flights", baseline, lambda: START)

    definition = MonitorDefinition("daily", "flights", "flights", kind=kind)
    read = read_captured(root, definition, WINDOW, baseline.signature, baseline)
    report = evaluate_captured(definition, baseline, read, predict=None, seed=0)

    assert numbers(report) == numbers(check(today, plain, kind=kind))
