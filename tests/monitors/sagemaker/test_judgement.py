"""Each check as SageMaker makes it: on a handful of rows, with its exact text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.constraints import Constraints
from driftline.baseline.documents import profile_from_statistics, signature_from_constraints
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import Baseline
from driftline.errors import DriftlineError
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

FIXTURES = Path(__file__).parents[2] / "fixtures"
OVERRIDE_PLACES = ("", "string_constraints", "num_constraints")
OVERRIDE_KEYS = ("monitoringConfigOverrides", "monitoring_config_overrides")


def baseline(folder: Path, *features: Mapping[str, object], config: object = None) -> Path:
    """Write constraints as SageMaker's SDK saves them: on one line."""
    folder.mkdir(exist_ok=True)
    document = {"version": 0.0, "features": list(features)}
    if config is not None:
        document["monitoring_config"] = config
    (folder / "constraints.json").write_text(json.dumps(document))
    return folder


def judged(folder: Path, text: str, reference: Path | Baseline) -> Report:
    (folder / "rows.csv").write_text(text)
    return check(folder / "rows.csv", reference, compat=True)


def found(report: Report) -> list[tuple[str, str, str]]:
    return [
        (one.feature_name, one.constraint_check_type, one.description) for one in report.violations
    ]


TYPE = (
    "Data type match requirement is not met. Expected data type: {}, Expected match: {}%. "
    "Observed: Only {}% of data is {}."
)


@pytest.mark.parametrize(
    ("expected", "values", "share"),
    [
        ("Integral", ["1", "2", "0.2", ""], "66.66666666666666"),
        ("Integral", ["1", "2", "3.0"], "66.66666666666666"),
        ("Fractional", ["1.5", "12"], "50.0"),
        ("Fractional", ["1.5", "1.2e+01"], "50.0"),
        ("String", ["1.5", "12"], "0.0"),
        ("String", ["a", "b", "c", "12"], "75.0"),
        ("Boolean", ["true", "False"], "50.0"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_counted_one_by_one(
    tmp_path: Path, expected: str, values: list[str], share: str
) -> None:
    known = baseline(tmp_path / "b", {"name": "x", "inferred_type": expected})

    report = judged(tmp_path, "x,y\n" + "".join(f"{one},z\n" for one in values), known)

    assert ("x", "data_type_check", TYPE.format(expected, "100.0", share, expected)) in found(
        report
    )


def test_the_texts_of_a_job_of_2019_come_out_to_the_byte(tmp_path: Path) -> None:
    # The SDK's fixture, of 999 rows of taxi rides: 9 of them with a known flag, and a column that
    # came empty. Its other texts are of a version before the type check had one of its own.
    published = {
        one["feature_name"]: one
        for one in json.loads(
            (FIXTURES / "monitors" / "aws.constraint_violations.json").read_text()
        )["violations"]
    }
    known = baseline(
        tmp_path / "b",
        {"name": "store_and_fwd_flag", "inferred_type": "String", "completeness": 1.0,
         "string_constraints": {"domains": ["Y", "N"]}},
        {"name": "congestion_surcharge", "inferred_type": "Fractional", "completeness": 1.0},
        {"name": "fare_amount", "inferred_type": "Fractional", "completeness": 1.0},
    )  # fmt: skip
    rows = [f"{'N' if row < 9 else 'n'},,{12.5 if row % 2 else 12}" for row in range(999)]

    report = judged(
        tmp_path, "store_and_fwd_flag,congestion_surcharge,fare_amount\n" + "\n".join(rows), known
    )

    by_name = {one.feature_name: one for one in report.violations}
    for name in ("store_and_fwd_flag", "congestion_surcharge"):
        assert by_name[name].document == published[name]
    # Its text says the same in other words: 499 of 999 amounts are written with a point.
    assert "0.4994994994994995" in published["fare_amount"]["description"]
    assert by_name["fare_amount"].description == TYPE.format(
        "Fractional", "100.0", "49.94994994994995", "Fractional"
    )


def test_rows_without_a_value_are_inside_a_domain_as_in_deequ(tmp_path: Path) -> None:
    known = baseline(
        tmp_path / "b",
        {"name": "x", "inferred_type": "String", "string_constraints": {"domains": ["a"]}},
    )

    assert judged(tmp_path, "x,y\na,1\n,1\n", known).violations[1:] == ()
    report = judged(tmp_path, "x,y\na,1\n,1\nb,1\nc,1\n", known)
    assert ("x", "categorical_values_check",
            "Value: 0.5 does not meet the constraint requirement! ") in found(report)  # fmt: skip
    (violation,) = [one for one in report.violations if one.feature_name == "x"]
    assert report.rows(violation)["x"].tolist() == ["b", "c"]


def test_columns_are_compared_by_their_number_alone(tmp_path: Path) -> None:
    known = baseline(tmp_path / "b", *({"name": name, "inferred_type": "Integral"}
                                       for name in "abc"))  # fmt: skip

    assert found(judged(tmp_path, "a\n1\n", known)) == [
        ("Missing columns", "missing_column_check",
         "There are missing columns in current dataset. Number of columns in current dataset: 1, "
         "Number of columns in baseline constraints: 3")
    ]  # fmt: skip
    assert found(judged(tmp_path, "a,b,c,d\n1,1,1,1\n", known)) == [
        ("Extra columns", "extra_column_check",
         "There are extra columns in current dataset. Number of columns in current dataset: 4, "
         "Number of columns in baseline constraints: 3")
    ]  # fmt: skip
    assert judged(tmp_path, "a,x,y\n1,z,0.5\n", known).passed  # Renamed: SageMaker sees nothing.


def test_a_negative_number_is_no_violation(tmp_path: Path) -> None:
    known = baseline(
        tmp_path / "b",
        {"name": "x", "inferred_type": "Integral", "num_constraints": {"is_non_negative": True}},
    )

    assert judged(tmp_path, "x\n-1\n-2\n", known).passed


@pytest.mark.parametrize("place", OVERRIDE_PLACES)
@pytest.mark.parametrize("key", OVERRIDE_KEYS)
@pytest.mark.parametrize(
    "block",
    [
        {"evaluate_constraints": "Disabled"},
        {"distribution_constraints": {"perform_comparison": "Disabled"}},
        {"distribution_constraints": {"comparison_threshold": 0.6}},
    ],
    ids=["not judged", "not compared", "other threshold"],
)
def test_overrides_hold_wherever_they_stand(
    tmp_path: Path, place: str, key: str, block: dict[str, object]
) -> None:
    rng = np.random.default_rng(0)
    rows = pa.table({"x": rng.normal(size=2000), "y": rng.normal(size=2000)})
    fitted = Baseline.fit(rows, compat=True)
    document = json.loads(fitted.constraints.to_json())
    inside = document["features"][0]
    if place:
        inside = inside.setdefault(place, {})
    inside[key] = block
    fitted.save(tmp_path / "b")
    (tmp_path / "b" / "constraints.json").write_text(json.dumps(document))
    moved = pa.table({"x": rng.normal(size=2000) + 1, "y": rng.normal(size=2000) + 1})

    report = check(moved, tmp_path / "b", compat=True)

    assert [one.feature_name for one in report.violations] == ["y"]
    assert json.loads(Baseline.load(tmp_path / "b").constraints.to_json()) == document


def drifting(rows: int = 1000) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(7)
    return (
        pa.table({"x": rng.normal(size=rows), "c": rng.choice(["a", "b"], rows).tolist()}),
        pa.table({"x": rng.normal(1, size=rows), "c": rng.choice(["a", "c"], rows).tolist()}),
    )


def test_a_drift_is_told_with_a_distance_that_sagemakers_page_reads(tmp_path: Path) -> None:
    reference, window = drifting()

    report = check(window, Baseline.fit(reference, compat=True), compat=True)

    by_name = {(one.feature_name, one.constraint_check_type): one for one in report.violations}
    for name in ("x", "c"):
        text = by_name[name, "baseline_drift_check"].description
        head, _, rest = text.partition("distance: ")
        value, _, threshold = rest.partition(" exceeds threshold: ")
        result = next(one for one in report.results if one.feature == name)
        assert head == "Baseline drift "
        assert float(value) == result.distance
        assert float(threshold) == result.bound == 0.1
    numbers = by_name["x", "baseline_drift_check"]
    assert numbers.predicate is not None
    share = np.mean(np.asarray(window["x"]) > numbers.predicate.value)
    assert numbers.row_count == round(share * 1000)


WRONG = (
    None, True, 0, -1, 1e308, 10**400, "", "NaN", "x", [], [1], ["a"], [[1.0], [2]], {}, [{}],
)  # fmt: skip


@pytest.mark.parametrize("compat", [True, False], ids=["compat", "ours"])
@given(place=st.integers(0, 10**6), wrong=st.sampled_from(WRONG), is_statistics=st.booleans())
def test_a_document_with_something_wrong_is_used_or_refused_in_a_sentence(
    compat: bool, place: int, wrong: object, is_statistics: bool
) -> None:
    source = FIXTURES / "baseline"
    constraints = json.loads((source / "quality.constraints.good.json").read_text())
    statistics = json.loads((source / "quality.statistics.json").read_text())
    places = list(_places(statistics if is_statistics else constraints))
    holder, key = places[place % len(places)]
    holder[key] = wrong

    try:
        read = Constraints.from_json(json.dumps(constraints))
        known = Statistics.from_json(json.dumps(statistics))
        signature = signature_from_constraints(read, known)
        profile = profile_from_statistics(known, signature)
        cells = {name: one.cells for name, one in profile.columns.items() if one.cells is not None}
        fitted = Baseline(signature, profile, known, read, cells)
        report = check(source / "quality.csv", fitted, compat=compat)
    except DriftlineError as error:
        assert str(error).strip()
    else:
        assert report.documents()


def _places(found: Any) -> Iterator[tuple[Any, Any]]:
    """Return every place of a document, few of long lists."""
    keys = found if isinstance(found, dict) else range(min(len(found), 4))
    for key in list(keys):
        yield found, key
        if isinstance(found[key], dict | list):
            yield from _places(found[key])
