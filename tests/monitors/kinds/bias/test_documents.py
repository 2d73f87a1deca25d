"""The documents of bias: written as Clarify writes them, read from where others wrote them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import ANALYSIS, Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.bias import evaluation as bias
from tests.monitors.kinds.bias.adult import (
    FIXTURES,
    aws_analysis,
    aws_validation,
    aws_window,
    expected,
    people,
)
from tests.monitors.kinds.bias.cases import metric, sample, unfair, with_column


def test_the_reference_is_written_as_clarify_writes_it(reference: Baseline) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])

    assert list(document) == ["version", "post_training_bias_metrics", "pre_training_bias_metrics"]
    [case] = [one for one in expected()["cases"] if one["id"] == "sex_female"]
    for stage, values in (("post", "post_training"), ("pre", "pre_training")):
        theirs = aws_analysis()[f"{stage}_training_bias_metrics"]
        ours = document[f"{stage}_training_bias_metrics"]
        assert list(ours) == list(theirs)
        assert (ours["label"], ours["label_value_or_threshold"]) == ("income", "1")
        [entry] = ours["facets"]["sex"]
        [known] = theirs["facets"]["Sex"]
        assert list(entry) == list(known)
        assert entry["value_or_threshold"] == "Female"
        # The same names and words in the same order.
        words = [(one["name"], one["description"]) for one in known["metrics"]]
        assert [(one["name"], one["description"]) for one in entry["metrics"]] == words
        wanted = {k: v for k, v in case["facets"][0][values].items() if k != "FT"}
        found = {one["name"]: one["value"] for one in entry["metrics"]}
        assert found.pop("FT", None) is None  # The features are texts.
        assert found == pytest.approx(wanted)


def test_labels_alone_are_enough_for_a_document_of_labels() -> None:
    document = json.loads(
        bias.suggest(Baseline.fit(people(), label="income", facet="sex=Female"))[ANALYSIS]
    )

    assert list(document) == ["version", "pre_training_bias_metrics"]


def test_a_limit_that_somebody_set_pages_when_it_is_broken(reference: Baseline) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])
    [entry] = document["post_training_bias_metrics"]["facets"]["sex"]
    for one in entry["metrics"]:
        one["value"] = {"DPPL": 0.1, "GE": 0.5}.get(one["name"], one["value"])
    limited = replace(reference, documents={ANALYSIS: json.dumps(document)})

    report = dl.check(people(), limited, kind="bias")

    [violation] = report.violations
    assert violation.document["metric_name"] == "DPPL"
    assert violation.severity == "page"
    assert "0.1 the limit" in violation.cause
    assert metric(report, "GE").bound > 0.5


def test_what_the_document_leaves_out_is_shown_but_not_judged(reference: Baseline) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])
    [entry] = document["post_training_bias_metrics"]["facets"]["sex"]
    entry["metrics"] = [one for one in entry["metrics"] if one["name"] not in ("DI", "RD")]
    less = replace(reference, documents={ANALYSIS: json.dumps(document)})

    report = dl.check(unfair(), less, kind="bias")

    assert metric(report, "DI").bound is None
    assert (
        metric(report, "DI").value == metric(dl.check(unfair(), reference, kind="bias"), "DI").value
    )
    assert not report.violations


def test_a_folder_of_sagemaker_is_enough(tmp_path: Path) -> None:
    (tmp_path / "analysis.json").write_bytes((FIXTURES / "aws-analysis.json").read_bytes())

    report = dl.check(aws_window(), str(tmp_path), kind="bias", prediction="predicted")

    assert "analysis.json alone" in report.details["reference"]
    assert metric(report, "RD", "0").reference == pytest.approx(0.1308103661044837)
    assert metric(report, "RD", "0").reference_low is None
    assert metric(report, "RD", "0").bound > 0.1308 + 0.02
    assert metric(report, "SD", "0").bound > 0.1053
    assert report.passed  # What SageMaker reported is within chance.


def test_a_real_change_against_a_folder_of_sagemaker_is_found(tmp_path: Path) -> None:
    (tmp_path / "analysis.json").write_bytes((FIXTURES / "aws-analysis.json").read_bytes())
    table = pa.concat_tables([aws_window()] * 12)
    men = table["Sex"].to_numpy() == 1

    report = dl.check(
        with_column(table, "predicted", men.astype(int)),
        str(tmp_path),
        kind="bias",
        prediction="predicted",
    )

    [violation] = [one for one in report.violations if one.document["metric_name"] == "DPPL"]
    assert violation.document["description"].endswith("requirement 0.2199248120300752")
    assert violation.severity == "ticket"
    assert "in the baseline" in violation.cause


def test_the_validation_set_of_a_real_job_gives_its_document() -> None:
    reference = Baseline.fit(
        aws_validation(), label="Target", positive=1, facet="Sex=0", group="Age"
    )

    document = json.loads(bias.suggest(reference)[ANALYSIS])

    [entry] = document["pre_training_bias_metrics"]["facets"]["Sex"]
    [known] = aws_analysis()["pre_training_bias_metrics"]["facets"]["Sex"]
    assert entry["value_or_threshold"] == known["value_or_threshold"] == "0"
    for ours, theirs in zip(entry["metrics"], known["metrics"], strict=True):
        assert ours["name"] == theirs["name"]
        assert ours["value"] == pytest.approx(theirs["value"], abs=1e-12)


@pytest.mark.parametrize("value", [10**400, "0.1", [], {}])
def test_a_limit_that_is_no_number_is_refused(reference: Baseline, value: object) -> None:
    document = json.loads(bias.suggest(reference)[ANALYSIS])
    document["post_training_bias_metrics"]["facets"]["sex"][0]["metrics"][0]["value"] = value
    edited = replace(reference, documents={ANALYSIS: json.dumps(document)})

    with pytest.raises(InputError, match=r"analysis\.json"):
        dl.check(sample(100), edited, kind="bias")


def test_a_baseline_with_groups_writes_clarifys_document(
    reference: Baseline, tmp_path: Path
) -> None:
    reference.save(tmp_path)

    assert json.loads((tmp_path / ANALYSIS).read_text()) == json.loads(
        bias.suggest(reference)[ANALYSIS]
    )
    assert dl.check(people(), Baseline.load(tmp_path), kind="bias").passed
