"""The flip test: as scikit-learn's neighbours give it, with an error that holds, on both sides."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.neighbors import KNeighborsClassifier

import driftline as dl
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.monitors.kinds.bias.evaluation import suggest
from tests.monitors.kinds.bias.adult import expected, with_numbers
from tests.monitors.kinds.bias.cases import metric

CASES = {one["id"]: one for one in expected()["cases"] if "TRAP" not in one["id"]}
# A value and a limit; a short run has no further way to say which people are the group.
SHORT = "race_two_values", "hours_label_gt_40"

ROLES = {"label": "y", "prediction": "p", "positive": 1, "facet": "sex=f"}


def people(rows: int, seed: int, *, bias: float = 0.0) -> pa.Table:
    """Rows of three numbers that decide the answer, which groups have alike."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, 3)) * [1, 10, 0.1]
    sex = random.random(rows) < 0.3
    score = values[:, 0] + values[:, 1] / 10 - bias * sex
    return pa.table(
        {
            "one": values[:, 0], "two": values[:, 1], "three": values[:, 2],
            "sex": np.where(sex, "f", "m"),
            "y": (score + random.normal(size=rows) > 0).astype(int),
            "p": (score > 0).astype(int),
        }
    )  # fmt: skip


def by_sklearn(table: pa.Table, scale: np.ndarray) -> float:
    """The guide's F+ less F-, over the group, by scikit-learn's five neighbours."""
    rows = np.column_stack([table[name].to_numpy() for name in ("one", "two", "three")]) / scale
    answers, group = table["p"].to_numpy(), np.array(table["sex"].to_pylist()) == "f"
    found = KNeighborsClassifier(5).fit(rows[~group], answers[~group]).predict(rows[group])
    own = answers[group]
    return float((((own == 0) & (found == 1)).sum() - ((own == 1) & (found == 0)).sum()) / len(own))


def deviations(table: pa.Table) -> np.ndarray:
    return np.array([table[name].to_numpy().std() for name in ("one", "two", "three")])


def test_both_signs_are_those_of_scikit_learns_neighbours() -> None:
    table = people(2_000, 1, bias=0.5)
    baseline = Baseline.fit(table, **ROLES)

    ours = metric(dl.check(table, baseline, kind="bias"), "FT", "f")
    aws = metric(dl.check(table, baseline, kind="bias", compat=True), "FT", "f")

    assert ours.value == pytest.approx(by_sklearn(table, deviations(table)), abs=1e-12)
    assert aws.value == pytest.approx(-by_sklearn(table, np.ones(3)), abs=1e-12)
    assert ours.value > 0.1 > 0 > aws.value
    assert ours.reference == ours.value
    assert not ours.judged


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=() if name in SHORT else pytest.mark.full)
        for name, case in CASES.items()
    ],
)
def test_compat_gives_smclarifys_values(case: dict) -> None:
    call, listed = case["call"], case["call"]["facet_values_or_threshold"]
    named = (call["facet"], call["label"], call["predicted_label"])
    table = with_numbers().select([*call["feature_columns"], *named])
    is_number = case["inferred"]["label_type"] == "CONTINUOUS"
    baseline = Baseline.fit(
        table, label=call["label"], prediction=call["predicted_label"],
        positive=call["label_values_or_threshold"][0],
        problem="regression" if is_number else "binary",
        facet=call["facet"] + ("=" + ",".join(map(str, listed)) if listed else ""), compat=True,
    )  # fmt: skip

    report = dl.check(table, baseline, kind="bias", compat=True)

    suggested = suggested_flips(baseline)
    for one in case["facets"]:
        text = one["value_or_threshold"].replace(".0", "")
        wanted = pytest.approx(one["post_training"]["FT"], abs=1e-9)
        assert metric(report, "FT", text).value == wanted
        assert suggested[text] == wanted


def suggested_flips(baseline: Baseline) -> dict[str, float]:
    """FT in analysis.json by group."""
    document = json.loads(baseline.documents["analysis.json"])
    return {
        entry["value_or_threshold"]: one["value"]
        for entries in document["post_training_bias_metrics"]["facets"].values()
        for entry in entries
        for one in entry["metrics"]
        if one["name"] == "FT"
    }


def test_metrics_that_clarifys_configuration_leaves_out_are_neither_written_nor_judged() -> None:
    baseline = Baseline.fit(people(600, 1, bias=0.5), **ROLES, compat=True)
    asked = replace(baseline.outcomes.roles, bias_metrics=("CI", "DPPL"))
    baseline = replace(baseline, rows=replace(baseline.outcomes, roles=asked))
    document = suggest(baseline)[ANALYSIS]
    baseline = replace(baseline, documents={ANALYSIS: document})

    report = dl.check(people(600, 2), baseline, kind="bias", compat=True)

    written = {
        stage: [one["name"] for one in found["facets"]["sex"][0]["metrics"]]
        for stage, found in json.loads(document).items()
        if stage != "version"
    }
    assert written == {"post_training_bias_metrics": ["DPPL"], "pre_training_bias_metrics": ["CI"]}
    assert {one.name for one in report.metrics} == {"CI", "DPPL"}


def test_features_of_text_are_refused_by_name() -> None:
    table = people(500, 4).append_column("town", pa.array(["a", "b"] * 250))

    found = metric(dl.check(table, Baseline.fit(table, **ROLES), kind="bias"), "FT", "f")

    assert found.value is None
    assert found.why == 'features are not numeric: "town"'


def test_a_limit_that_somebody_wrote_is_judged() -> None:
    baseline = Baseline.fit(people(2_000, 5), **ROLES)
    document = json.loads(baseline.documents["analysis.json"])
    for one in document["post_training_bias_metrics"]["facets"]["sex"][0]["metrics"]:
        if one["name"] == "FT":
            one["value"] = 0.05
    limited = replace(baseline, documents={"analysis.json": json.dumps(document)})

    assert metric(dl.check(people(2_000, 6), limited, kind="bias"), "FT", "f").severity is None
    broken = metric(dl.check(people(2_000, 6, bias=1.0), limited, kind="bias"), "FT", "f")
    assert broken.severity == "page"
