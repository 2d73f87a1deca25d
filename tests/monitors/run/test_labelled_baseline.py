"""A version of labelled rows is what a baseline fitted on them is, but for what was set by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from driftline.baseline import store
from driftline.baseline.store import ANALYSIS, QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.capture.labels.labels import put
from driftline.capture.windows.window import Window
from driftline.errors import InputError, UndecidedError
from driftline.monitors.external.source import UNLIMITED, ExternalSource
from driftline.monitors.run.labelled_baseline import (
    put_labelled,
    read_labelled,
    read_labelled_table,
    with_documents_anew,
)
from tests.monitors.conftest import DAY, START, append_day

SPAN = Window(START, START + DAY)
NOW = START + 30 * DAY
ROLES = {"label": "late", "probability": "score", "facet": "place=a"}
CAPTURED = ("x", "place", "score")


def table(seed: int, rows: int = 2_000) -> pa.Table:
    rng = np.random.default_rng(seed)
    score = rng.random(rows)
    late = (rng.random(rows) < score) if seed == 1 else (rng.random(rows) < 0.3)
    columns = {"x": rng.normal(seed, 1, rows), "place": rng.choice(["a", "b"], rows)}
    return pa.table({**columns, "score": score, "late": late.astype(np.int64)})


@pytest.fixture(scope="module")
def before() -> Baseline:
    return Baseline.fit(table(1), **ROLES)


@pytest.fixture
def captured(root: str, before: Baseline) -> pa.Table:
    """Capture a day of 1,400 rows, of which all but every seventh get a label."""
    store.put(root, "flights", before, lambda: START)
    rows = table(2, 1_400)
    append_day(root, before.signature, 0, {name: rows[name].to_numpy() for name in CAPTURED})
    chosen = np.flatnonzero(np.arange(1_400) % 7)
    labels = pa.table({
        "key": [f"a-{at}" for at in chosen],
        "row_index": pa.array([0] * len(chosen), pa.int32()),
        "label": rows["late"].take(chosen).cast("string"),
    })  # fmt: skip
    put(root, "flights", labels, lambda: START + 2 * DAY)
    return rows.take(chosen)


def test_it_is_as_a_baseline_fitted_on_the_labelled_rows(
    root: str, before: Baseline, captured: pa.Table
) -> None:
    rows = partial(read_labelled, root, "flights", window=SPAN, signature=before.signature)

    made = put_labelled(root, "flights", before.version, rows, lambda: NOW, {"endpoint": "flights"})

    stored = store.get(root, "flights", made.version)
    assert stored.outcomes is not None
    assert stored.outcomes.table.select(captured.column_names[1:]).equals(captured.drop("x"))
    fitted = Baseline.fit(stored.outcomes.table, timestamp="event_time", **ROLES)
    for name in (QUALITY_STATISTICS, QUALITY_CONSTRAINTS):
        assert stored.documents[name] == fitted.documents[name]
    assert stored.signature == before.signature
    (_, version) = store.list_versions(root, "flights")
    assert version.row_count == 1_200
    assert version.origin == {"endpoint": "flights", "labels": True, "rows_read": 1_400}


def test_rows_of_a_table_come_with_the_labels_of_it(
    root: str, before: Baseline, tmp_path: Path
) -> None:
    rows = table(2, 1_400)
    late = pa.array(rows["late"].to_numpy(), mask=np.arange(1_400) < 200)
    times = pa.array([START + DAY * at / 1_400 for at in range(1_400)])
    rows = rows.set_column(3, "late", late).append_column("at", times)
    parquet.write_table(rows, tmp_path / "rows.parquet")
    source = ExternalSource.of({"path": str(tmp_path / "rows.parquet"), "timestamp": "at"})

    read = read_labelled_table(source, UNLIMITED, before, SPAN)

    assert (read.row_count, read.labelled_count) == (1_400, 1_200)
    assert {*CAPTURED, "late", "event_time"} <= {*read.schema.names}


def test_too_few_labels_are_refused_with_their_number(
    root: str, before: Baseline, captured: pa.Table
) -> None:
    hour = Window(START, START + DAY / 3)
    rows = partial(read_labelled, root, "flights", window=hour, signature=before.signature)

    with pytest.raises(UndecidedError, match=r"480 rows were captured in .*, 411 of them with a"):
        put_labelled(root, "flights", before.version, rows, lambda: NOW, {})


def test_labels_that_never_are_the_positive_class_are_refused_like_such_a_reference(
    root: str, before: Baseline
) -> None:
    store.put(root, "flights", before, lambda: START)
    rows = table(2)
    append_day(root, before.signature, 0, {name: rows[name].to_numpy() for name in CAPTURED})
    keys, index = [f"a-{at}" for at in range(2_000)], pa.array([0] * 2_000, pa.int32())
    labels = pa.table({"key": keys, "row_index": index, "label": ["0"] * 2_000})
    put(root, "flights", labels, lambda: START + 2 * DAY)
    read = partial(read_labelled, root, "flights", window=SPAN, signature=before.signature)

    with pytest.raises(InputError, match=r'labelled rows of \[2024-.*positive "1": no column has'):
        put_labelled(root, "flights", before.version, read, lambda: NOW, {})


def test_rows_without_a_column_that_labels_are_measured_by_are_refused(
    root: str, before: Baseline, captured: pa.Table
) -> None:
    weighed = Baseline.fit(table(1).append_column("w", [[1.5] * 2_000]), weight="w", **ROLES)
    store.put(root, "weighed", weighed, lambda: START)
    rows = partial(read_labelled, root, "flights", window=SPAN, signature=before.signature)

    with pytest.raises(InputError, match='the rows have no column "w", by which it measures label'):
        put_labelled(root, "weighed", weighed.version, rows, lambda: NOW, {})


def test_a_baseline_without_labels_is_refused(root: str) -> None:
    alone = Baseline.fit(table(1), label="late")
    store.put(root, "flights", alone, lambda: START)

    with pytest.raises(InputError, match=r'baseline "flights": version .* has no labels'):
        put_labelled(root, "flights", alone.version, pytest.fail, lambda: NOW, {})


def test_lines_set_by_hand_stay_and_others_follow_the_labels(before: Baseline) -> None:
    lines = json.loads(before.documents[QUALITY_CONSTRAINTS])
    metrics = lines["binary_classification_constraints"]
    metrics["auc"]["threshold"] = 0.5
    del metrics["f2"]
    changed = {**before.documents, QUALITY_CONSTRAINTS: json.dumps({**lines, "driftline": {}})}
    fitted = Baseline.fit(table(2), **ROLES)

    made = with_documents_anew(replace(before, documents=changed), fitted)

    expected = json.loads(fitted.documents[QUALITY_CONSTRAINTS])
    expected["binary_classification_constraints"]["auc"]["threshold"] = 0.5
    del expected["binary_classification_constraints"]["f2"]
    assert json.loads(made.documents[QUALITY_CONSTRAINTS]) == {**expected, "driftline": {}}
    assert made.documents[QUALITY_STATISTICS] == fitted.documents[QUALITY_STATISTICS]
    assert made.documents[ANALYSIS] == fitted.documents[ANALYSIS] != before.documents[ANALYSIS]
