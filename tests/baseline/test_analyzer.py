"""Types as SageMaker's analyzer finds them: by each value's text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.analyzer import (
    KINDS,
    KindCounter,
    kinds_of,
    marked,
)
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.signature import Column, Signature

FIXTURES = Path(__file__).parents[1] / "fixtures"


def kinds(values: list[object], kind: pa.DataType | None = None) -> list[str]:
    batch = pa.record_batch({"x": pa.array(values, kind)})
    return [KINDS[code] for code in kinds_of(batch, "x")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # awslabs/deequ 2.0.2, StatefulDataType: FRACTIONAL, INTEGRAL and BOOLEAN.
        ("12", "Integral"),
        ("-12", "Integral"),
        ("+ 12", "Integral"),
        (" 3", "Integral"),
        ("007", "Integral"),
        ("12345678901234567890123", "Integral"),
        ("12.0", "Fractional"),
        ("-0.5", "Fractional"),
        ("true", "Boolean"),
        ("false", "Boolean"),
        ("True", "String"),
        ("", "Unknown"),
        # model-monitor, section 3.1: what makes a column String.
        ("N/A", "String"),
        ("inf", "String"),
        ("nan", "String"),
        (".5", "String"),
        ("1.", "String"),
        ("  3", "String"),
        ("3 ", "String"),
        ("1.200000000000000000e+01", "String"),
        ("2.3E1", "String"),
        ("2024-01-01", "String"),
        ("1,000", "String"),
        (" ", "String"),
        ("12\n", "String"),
    ],
)
def test_a_texts_type_is_that_of_deequs_expressions(text: str, kind: str) -> None:
    assert kinds([text]) == [kind]


@pytest.mark.parametrize(
    ("values", "arrow", "kind"),
    [
        ([1, 2], pa.int8(), "Integral"),
        ([1.0, 2.0], pa.float32(), "Fractional"),
        ([True, False], pa.bool_(), "Boolean"),
        (["a", "b"], pa.dictionary(pa.int8(), pa.string()), "String"),
        (["1", "2"], pa.dictionary(pa.int8(), pa.string()), "Integral"),
        ([pd.Timestamp("2024-01-01")] * 2, pa.timestamp("us"), "String"),
        ([None, float("nan")], pa.float64(), "Unknown"),
    ],
)
def test_values_with_a_type_of_their_own_are_of_it(values, arrow, kind) -> None:
    assert kinds(values, arrow) == [kind] * 2


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        # DataTypeHistogram.determineType.
        (["1", "2", ""], "Integral"),
        (["1", "2.5"], "Fractional"),
        (["1", "2.5", "x"], "String"),
        (["true", "false", ""], "Boolean"),
        (["true", "1"], "String"),
        (["true", "1.5"], "String"),
        (["", ""], "Unknown"),
    ],
)
def test_a_columns_type_is_what_its_values_agree_on(texts: list[str], kind: str) -> None:
    counter = KindCounter()
    counter.update(pa.record_batch({"x": texts}))

    assert counter.kind("x") == kind


texts = st.lists(st.sampled_from(["1", "2.5", "x", "true", ""]), max_size=8)


@given(texts, texts, texts)
def test_parts_add_up_in_whatever_way_they_are_put_together(first, second, third) -> None:
    def counted(*parts: list[str]) -> KindCounter:
        counter = KindCounter()
        for part in parts:
            counter.update(pa.record_batch({"x": pa.array(part, pa.string())}))
        return counter

    whole = counted(first, second, third)
    for merged in (
        counted(first).merge(counted(second)).merge(counted(third)),
        counted(first).merge(counted(second).merge(counted(third))),
    ):
        assert merged.row_count == whole.row_count
        assert merged.counts["x"].tolist() == whole.counts["x"].tolist()


def lost(**columns: list[object]) -> pa.RecordBatch:
    """A captured window's rows; "unfit" holds what did not fit its column, row by row."""
    unfit = columns.pop("unfit")
    arrays = {name: pa.array(values) for name, values in columns.items()}
    arrays["unfit"] = pa.array(unfit, pa.map_(pa.string(), pa.string()))
    return pa.record_batch(arrays)


def test_values_of_a_wrong_type_are_marked_beside_what_capture_had_marked() -> None:
    batch = lost(x=["1", "2.5", "", "y"], y=[1, None, 3, 4], unfit=[[], [("y", "bad")], [], []])

    found = marked(batch, {"x": "Integral", "gone": "String"})

    assert found.column("unfit").to_pylist() == [
        [], [("y", "bad"), ("x", "2.5")], [], [("x", "y")],
    ]  # fmt: skip
    assert Predicate("x", "unfit").mask(found).to_pylist() == [False, True, False, True]
    assert marked(batch, {}) is batch


@pytest.mark.parametrize("compat", [False, True])
def test_the_documents_of_a_real_job_are_reproduced_byte_for_byte(compat: bool) -> None:
    found = Baseline.fit(FIXTURES / "baseline" / "quality.csv", compat=compat)

    expected = FIXTURES / "baseline"
    assert found.statistics.to_json() == (expected / "quality.statistics.json").read_text()
    assert found.constraints.to_json() == (expected / "quality.constraints.good.json").read_text()


def signature(**types: str) -> Signature:
    return Signature(
        tuple(Column(name, f"feature_{name}", kind) for name, kind in types.items())  # type: ignore[arg-type]
    )
