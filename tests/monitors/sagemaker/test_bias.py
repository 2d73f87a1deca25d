"""Bias as SageMaker judges it: smclarify's metrics, cases without meaning too, and a real run."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.bias.clarify import clarify_metrics
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts
from tests.monitors.kinds.bias.adult import (
    FEATURES,
    FIXTURES,
    aws_validation,
    aws_window,
    expected,
    people,
    with_numbers,
)

CASES = {one["id"]: one for one in expected()["cases"]}
# An integer age that smclarify takes for a category: asserted to be above 40, as the decimal one.
AS_DECIMAL = {"TRAP_age_40_int": "age_gt_40_float"}


def fitted(case: dict) -> Baseline:
    call = case["call"]
    number = case["inferred"]["label_type"] == "CONTINUOUS"
    listed = call["facet_values_or_threshold"]
    return Baseline.fit(
        people(),
        label=call["label"],
        prediction=call["predicted_label"],
        positive=call["label_values_or_threshold"][0],
        problem="regression" if number else "binary",
        facet=call["facet"] + ("=" + ",".join(map(str, listed)) if listed else ""),
        group=call["group_variable"],
    )


def section(report: Report, name: str) -> dict[str, dict[str, float]]:
    """One section of the window's analysis.json: by group, the metrics' values."""
    document = json.loads(report.documents()["analysis.json"])[name]
    [entries] = document["facets"].values()
    return {
        one["value_or_threshold"]: {each["name"]: each["value"] for each in one["metrics"]}
        for one in entries
    }


@pytest.mark.full
def test_rows_of_the_reference_break_nothing_of_what_it_suggests(tmp_path: Path) -> None:
    some = with_numbers().slice(0, 4_000)
    by_race = Baseline.fit(
        some.select(["age", "hours_per_week", "race", "income", "predicted"]),
        label="income", prediction="predicted", positive=1, facet="race",
    )  # fmt: skip
    by_race.save(tmp_path)
    suggested = json.loads((tmp_path / "analysis.json").read_text())

    report = dl.check(some, Baseline.load(tmp_path), kind="bias", compat=True)
    suggested["post_training_bias_metrics"]["facets"]["race"][0]["metrics"][-1]["value"] = 0.001
    (tmp_path / "analysis.json").write_text(json.dumps(suggested))
    limited = dl.check(some, Baseline.load(tmp_path), kind="bias", compat=True)

    flips = [one for one in report.metrics if one.name == "FT"]
    assert len(flips) == 5
    assert report.passed
    assert all(one.value == one.reference for one in flips)
    # What somebody set holds.
    assert not limited.passed


@pytest.mark.first(3)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_document_of_a_window_holds_smclarifys_values(case: dict) -> None:
    report = dl.check(people(), fitted(case), kind="bias", compat=True)

    found = [section(report, f"{stage}_training_bias_metrics") for stage in ("pre", "post")]
    for one in CASES[AS_DECIMAL.get(case["id"], case["id"])]["facets"]:
        text = (
            one["value_or_threshold"].replace(".0", "")
            if "age" in case["id"]
            else (one["value_or_threshold"])
        )
        wanted = one["post_training"].copy()
        wanted.pop("FT")  # The rows have features of text (test_flip_test).
        found[1][text].pop("FT")
        assert found[0][text] == pytest.approx(one["pre_training"], abs=1e-9)
        assert found[1][text] == pytest.approx(wanted, abs=1e-9)
    assert report.passed


def pair_of(a: tuple[int, int, int, int], d: tuple[int, int, int, int]) -> np.ndarray:
    """Rows of both sides: true positives, false positives, false negatives, true negatives."""
    counts = np.zeros((2, 2, 3, 3), np.int64)
    for side, (tp, fp, fn, tn) in enumerate((a, d)):
        counts[side, 0, :2, :2] = [[tn, fp], [fn, tp]]
    return counts


# What smclarify 0.5 gives (the reference's table of undefined cases), by case.
UNDEFINED: dict[str, tuple[np.ndarray, dict[str, float | None]]] = {
    "nobody is predicted positive": (
        pair_of((0, 0, 5, 5), (0, 0, 2, 8)),
        {"DPPL": None, "DI": None, "DAR": None, "TE": None, "GE": None, "DPL": 0.3},
    ),
    "none of the group is predicted positive": (
        pair_of((4, 2, 1, 3), (0, 0, 2, 8)),
        {"DI": 0.0, "DCA": -math.inf, "TE": math.inf, "DAR": 4 / 6, "RD": 0.8},
    ),
    "none of the others is predicted positive": (
        pair_of((0, 0, 2, 8), (4, 2, 1, 3)),
        {"DI": math.inf, "DCA": math.inf, "TE": -math.inf, "DAR": -4 / 6},
    ),
    "the group has no observed positives": (
        pair_of((3, 1, 2, 4), (0, 2, 0, 8)),
        {"RD": 0.6, "KL": -0.34657359, "JS": 0.04247476, "TVD": 0.25, "LP": 0.5, "KS": 0.5},
    ),
    "no false positives on either side": (
        pair_of((3, 0, 2, 5), (2, 0, 1, 7)),
        {"TE": 0.0, "SD": 0.0, "DAR": 0.0},
    ),
    "no errors at all": (pair_of((3, 0, 0, 5), (2, 0, 0, 7)), {"TE": 0.0, "GE": 0.0, "AD": 0.0}),
    "every row is a missed positive": (
        pair_of((0, 0, 5, 0), (0, 0, 4, 0)),
        {"GE": None, "DPL": 0.0},
    ),
    "the group is empty": (pair_of((3, 1, 2, 4), (0, 0, 0, 0)), {"DPPL": None, "CI": None}),
}


@pytest.mark.parametrize(("pair", "wanted"), UNDEFINED.values(), ids=UNDEFINED)
def test_what_has_no_meaning_has_smclarifys_value(pair: np.ndarray, wanted: dict) -> None:
    found = clarify_metrics(pair, stratified=False)

    assert {name: found[name].value for name in wanted} == pytest.approx(wanted, abs=1e-7)


def sagemaker_folder(folder: Path) -> str:
    folder.mkdir()
    (folder / "analysis.json").write_text((FIXTURES / "aws-analysis.json").read_text())
    return str(folder)


def test_its_merged_record_is_read_with_the_headers_of_clarifys_file(tmp_path: Path) -> None:
    record = json.loads((FIXTURES / "aws-merged-record.json").read_text())
    lines = tmp_path / "merged.jsonl"
    lines.write_text(json.dumps(record) + "\n")
    asked = {"kind": "bias", "compat": True, "prediction": "predicted_label", "group": "Age"}
    folder, headers = sagemaker_folder(tmp_path / "b"), [*FEATURES, "Target"]

    report = dl.check(dl.Files(lines, names=headers), folder, **asked)

    usual = dl.check(aws_window(), folder, **asked | {"prediction": "predicted"})
    assert report.metrics == usual.metrics
    assert report.violation_count == 8
    record["groundTruthData"]["data"] = '{"instances": [{"label": 0}]}'
    lines.write_text(json.dumps(record) + "\n")
    with pytest.raises(InputError, match="has 334 rows of input and 1 of ground truth"):
        dl.check(dl.Files(lines, names=headers), folder, **asked)


def test_a_real_run_gives_its_own_violations(tmp_path: Path) -> None:
    report = dl.check(
        aws_window(), sagemaker_folder(tmp_path / "b"), kind="bias", compat=True,
        prediction="predicted", group="Age",
    )  # fmt: skip

    found = json.loads(report.documents()["constraint_violations.json"])
    theirs = json.loads((FIXTURES / "aws-violations.json").read_text())
    theirs["violations"] = [
        one for one in theirs["violations"] if one["metric_name"] != "FT"
    ]  # It needs rows, not counts.
    for one in (*found["violations"], *theirs["violations"]):
        words, numbers = one["description"].split(), (2, -1)
        one["description"] = [round(float(words[place]), 12) for place in numbers]
    assert found == theirs


@pytest.mark.parametrize(("moved", "broken"), [(0.0, set()), (1e-6, {"JS"})])
def test_what_sagemaker_sums_in_another_order_breaks_nothing(
    tmp_path: Path, moved: float, broken: set[str]
) -> None:
    folder = sagemaker_folder(tmp_path / "b")
    document = json.loads((FIXTURES / "aws-analysis.json").read_text())
    for one in document["pre_training_bias_metrics"]["facets"]["Sex"][0]["metrics"]:
        if one["name"] == "JS":
            one["value"] -= moved
    (tmp_path / "b" / "analysis.json").write_text(json.dumps(document))

    report = dl.check(aws_validation(), folder, kind="bias", compat=True, group="Age")

    assert {one.name for one in report.metrics if one.violated} == broken


def table(**columns: list) -> pa.Table:
    return pa.table(columns)


SMALL = {
    "sex": ["f"] * 4 + ["m"] * 5 + [None],
    "said": [1, 0, 0, 0, 1, 1, 0, 0, 1, 1],
    "true": [1, 0, 1, 0, 1, 0, 0, 0, 1, 1],
}


def small_baseline() -> Baseline:
    return Baseline.fit(
        table(**SMALL), label="true", prediction="said", positive=1, problem="binary", facet="sex=f"
    )


def test_missing_facets_are_others_and_missing_answers_negative() -> None:
    window = SMALL | {
        "true": [1, None, 1, 0, 1, 0, None, 0, 1, 1],
        "said": [*SMALL["said"][:9], None],
    }

    report = dl.check(table(**window), small_baseline(), kind="bias", compat=True)

    values = {one.name: one.value for one in report.metrics}
    assert values["CI"] == pytest.approx((6 - 4) / 10)
    assert values["DPL"] == pytest.approx(3 / 6 - 2 / 4)
    assert values["DPPL"] == pytest.approx(3 / 6 - 1 / 4)


def test_captured_rows_without_ground_truth_are_left_out_as_the_merge_does() -> None:
    window = SMALL | {"true": [1, None, 1, 0, 1, 0, None, 0, 1, 1]}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    facts = WindowFacts(Window(start, start.replace(hour=1)))
    batches = table(**window).to_batches
    baseline = small_baseline()
    context = CheckContext(
        baseline, Rows(lambda: iter(batches()), facts=facts), baseline.outcomes.roles,
        compat=True,
    )  # fmt: skip

    report = kind_named("bias").evaluate(context)

    values = {one.name: one.value for one in report.metrics}
    assert values["CI"] == pytest.approx((5 - 3) / 8)
    assert values["DPPL"] == pytest.approx(4 / 5 - 1 / 3)
