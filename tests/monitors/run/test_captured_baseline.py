"""A version of labelled rows is what a baseline fitted on them is, but for what was set by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline import versions
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.capture.labels.labels import put
from driftline.capture.windows.window import Window
from driftline.errors import InputError, UndecidedError
from driftline.monitors.run.captured_baseline import put_renewed, read_like
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
    versions.put(root, "flights", before, lambda: START)
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
    rows = partial(read_like, root, "flights", window=SPAN, signature=before.signature, labels=True)

    made = put_renewed(
        root, "flights", before.version, rows, lambda: NOW, {"endpoint": "flights"}, labels=True
    )

    stored = versions.get(root, "flights", made.version)
    assert stored.outcomes is not None
    assert stored.outcomes.table.select(captured.column_names[1:]).equals(captured.drop("x"))
    fitted = Baseline.fit(stored.outcomes.table, timestamp="event_time", **ROLES)
    for name in (QUALITY_STATISTICS, QUALITY_CONSTRAINTS):
        assert stored.documents[name] == fitted.documents[name]
    assert stored.signature == before.signature
    (_, version) = versions.list_versions(root, "flights")
    assert version.row_count == 1_200
    assert version.origin == {"endpoint": "flights", "labels": True, "rows_read": 1_400}


def test_a_baseline_of_a_variant_holds_its_rows_alone_with_labels_or_without(
    root: str, before: Baseline
) -> None:
    versions.put(root, "flights", before, lambda: START)
    rows = table(2, 1_400)
    captured = {name: rows[name].to_numpy() for name in CAPTURED}
    variants = np.array(["old", "new"])[np.arange(1_400) % 2]
    append_day(root, before.signature, 0, {**captured, "variant": variants})
    read = partial(
        read_like, root, "flights", window=SPAN, signature=before.signature, variant="new"
    )

    made = put_renewed(root, "flights", before.version, read, lambda: NOW, {})

    assert made.profile is not None
    assert made.profile.row_count == 700


def test_too_few_labels_are_refused_with_their_number(
    root: str, before: Baseline, captured: pa.Table
) -> None:
    hour = Window(START, START + DAY / 3)
    rows = partial(read_like, root, "flights", window=hour, signature=before.signature, labels=True)

    with pytest.raises(UndecidedError, match=r"480 rows were captured in .*, 411 of them with a"):
        put_renewed(root, "flights", before.version, rows, lambda: NOW, {}, labels=True)


def test_a_baseline_without_labels_is_refused(root: str) -> None:
    alone = Baseline.fit(table(1), label="late")
    versions.put(root, "flights", alone, lambda: START)

    with pytest.raises(InputError, match=r'baseline "flights": version .* has no labels'):
        put_renewed(root, "flights", alone.version, pytest.fail, lambda: NOW, {}, labels=True)
