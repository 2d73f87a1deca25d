"""Folders and files that others wrote: SageMaker's documents, rows without names."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.check import check
from driftline.signature import Column, Signature

FIXTURES = Path(__file__).parents[1] / "fixtures" / "baseline"
PEOPLE = Signature(
    (
        Column("job", "feature_job", "string"),
        Column("age", "feature_age", "int64"),
        Column("sex", "feature_sex", "string"),
    )
)


def documents(
    folder: Path, constraint: dict[str, object], statistic: dict[str, object] | None
) -> Baseline:
    """Write the two documents of one column, and load them."""
    folder.mkdir(exist_ok=True)
    (folder / "constraints.json").write_text(
        json.dumps({"version": 0.0, "features": [{"name": "x", **constraint}]})
    )
    if statistic is not None:
        found = {"dataset": {"item_count": 100}, "features": [{"name": "x", **statistic}]}
        (folder / "statistics.json").write_text(json.dumps({"version": 0.0, **found}))
    return Baseline.load(folder)


def texts(**counts: int) -> dict[str, object]:
    buckets = [{"value": value, "count": count} for value, count in counts.items()]
    return {
        "inferred_type": "String",
        "string_statistics": {
            "common": {"num_present": 100, "num_missing": 0},
            "distinct_count": len(counts),
            "distribution": {"categorical": {"buckets": buckets}},
        },
    }


@pytest.mark.parametrize("known", [("false", "true"), ("False", "True"), ("FALSE", "TRUE")])
@pytest.mark.parametrize("sent", [("false", "true"), ("False", "True"), (False, True)])
@pytest.mark.parametrize("has_domains", [True, False])
def test_truth_values_are_compared_whatever_their_case(
    tmp_path: Path, known: tuple[str, str], sent: tuple[object, object], has_domains: bool
) -> None:
    constraint: dict[str, object] = {"inferred_type": "String", "completeness": 1.0}
    if has_domains:
        constraint["string_constraints"] = {"domains": list(known)}
    baseline = documents(tmp_path / "b", constraint, texts(**dict.fromkeys(known, 50)))
    frame = pd.DataFrame({"x": list(sent) * 50})
    frame.to_csv(tmp_path / "x.csv", index=False)

    for data in (frame, tmp_path / "x.csv"):
        report = check(data, baseline)
        assert report.violations == ()
        assert report.max_drift_ratio is not None
    changed = check(pd.DataFrame({"x": [sent[0]] * 100}), baseline)
    assert [one.constraint_check_type for one in changed.violations] == ["baseline_drift_check"]


def test_other_texts_of_two_values_keep_their_case(tmp_path: Path) -> None:
    constraint = {"inferred_type": "String", "string_constraints": {"domains": ["no", "yes"]}}
    baseline = documents(tmp_path / "b", constraint, None)

    found = check(pd.DataFrame({"x": ["No", "Yes"] * 50}), baseline)

    assert [one.constraint_check_type for one in found.violations] == ["categorical_values_check"]


@pytest.mark.parametrize("has_statistics", [True, False])
def test_numbers_where_the_constraints_say_text_are_not_of_their_type(
    tmp_path: Path, has_statistics: bool
) -> None:
    shutil.copy(FIXTURES / "quality.constraints.bad.json", tmp_path / "constraints.json")
    if has_statistics:
        shutil.copy(FIXTURES / "quality.statistics.json", tmp_path / "statistics.json")

    report = check(FIXTURES / "quality.csv", tmp_path)

    assert [(one.feature_name, one.description) for one in report.violations] == [
        (
            "_c5",
            "Data type match requirement is not met. Expected data type: String, "
            "Expected match: 100.0%. Observed: Only 0.0% of data is String.",
        )
    ]
    assert report.violations[0].cause == "100% of values numbers, not text"


@pytest.mark.parametrize(
    ("constraint", "statistic"),
    [
        ({"inferred_type": "String"}, texts(**{"10001": 60, "10002": 40})),
        ({"inferred_type": "String"}, None),
        ({"inferred_type": "String", "string_constraints": {"domains": ["10001", "10002"]}}, None),
    ],
)
def test_text_that_looks_like_numbers_is_text(
    tmp_path: Path, constraint: dict[str, object], statistic: dict[str, object] | None
) -> None:
    baseline = documents(tmp_path / "b", constraint, statistic)

    assert check(pd.DataFrame({"x": ["10001"] * 60 + ["10002"] * 40}), baseline).passed


def test_text_is_right_where_the_constraints_say_text(tmp_path: Path) -> None:
    for kind in ("bad", "good"):
        (tmp_path / kind).mkdir()
        source = FIXTURES / f"quality.constraints.{kind}.json"
        shutil.copy(source, tmp_path / kind / "constraints.json")
        shutil.copy(FIXTURES / "quality.statistics.json", tmp_path / kind / "statistics.json")
    rows = pd.read_csv(FIXTURES / "quality.csv", header=None).add_prefix("_c")
    rows["_c5"] = "text"

    assert check(rows, tmp_path / "bad").passed
    assert not check(rows, tmp_path / "good").passed


@pytest.mark.parametrize(
    ("name", "key", "kept_as"),
    [
        ("constraints.json", "regression_constraints", "model-quality/constraints.json"),
        ("constraints.json", "binary_classification_constraints", "model-quality/constraints.json"),
        ("analysis.json", "pre_training_bias_metrics", "analysis.json"),
    ],
)
def test_folders_of_other_kinds_load_and_are_no_data_quality_baseline(
    tmp_path: Path, name: str, key: str, kept_as: str
) -> None:
    document = json.dumps({"version": 0.0, key: {}})
    (tmp_path / name).write_text(document)

    baseline = Baseline.load(tmp_path)

    assert baseline.documents == {kept_as: document}
    with pytest.raises(InputError, match=f"{kept_as} only.*data quality baseline"):
        check(pd.DataFrame({"a": [1]}), baseline, kind="data-quality")


def test_a_bias_document_under_the_name_of_constraints_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "constraints.json").write_text('{"version": 0.0, "post_training_bias_metrics": {}}')

    with pytest.raises(InputError, match="bias"):
        Baseline.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "has_header"),
    [
        ("clerk,39,Male\npilot,50,Female\n", False),
        ("clerk,,Male\npilot,50,Female\n", True),  # Nothing tells it from other names.
        ("job,age,sex\nclerk,39,Male\n", True),
        ("Job,Age,Sex\nclerk,39,Male\n", True),
        ("job,years,gender\nclerk,39,Male\n", True),
        ("trade,years,gender\nclerk,39,Male\n", True),
    ],
)
def test_a_first_line_of_text_may_be_a_row_of_the_signature(
    tmp_path: Path, text: str, has_header: bool
) -> None:
    (tmp_path / "people.csv").write_text(text)

    found = open_source(tmp_path / "people.csv", signature=PEOPLE)

    assert found.row_count == (1 if has_header else 2)
    if not has_header:
        assert found.schema.names == ["job", "age", "sex"]


def test_without_a_signature_a_first_line_of_text_holds_names(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("clerk,39,Male\npilot,50,Female\n")

    assert open_source(tmp_path / "people.csv").schema.names == ["clerk", "39", "Male"]


@pytest.mark.parametrize(
    "name", ["analysis.json", "constraints.json", "model-quality/constraints.json"]
)
@pytest.mark.parametrize("data", [b"{", b"[]", b"3", b"null", b"[" * 100_000, b"\xff\xfe"])
def test_a_document_that_is_no_object_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(data)

    with pytest.raises(InputError, match=re.escape(name)):
        Baseline.load(tmp_path)


def test_a_mark_in_front_of_a_document_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "analysis.json").write_bytes(b"\xef\xbb\xbf{}")

    assert Baseline.load(tmp_path).documents == {"analysis.json": "{}"}


def test_captured_text_that_looks_like_numbers_stays_text_where_the_reference_has_text(
    tmp_path: Path,
) -> None:
    side = {"observedContentType": "text/csv", "mode": "INPUT", "encoding": "CSV"}
    record = {
        "captureData": {"endpointInput": {**side, "data": "01234,5"}},
        "eventMetadata": {"eventId": "a", "inferenceTime": "2024-01-01T00:00:00Z"},
        "eventVersion": "0",
    }
    (tmp_path / "capture.jsonl").write_text(json.dumps(record) + "\n")
    known = Signature((Column("zip", "feature_zip", "string"), Column("n", "feature_n", "int64")))

    (batch,) = open_source(tmp_path / "capture.jsonl", signature=known).batches()

    assert batch.to_pydict() == {"zip": ["01234"], "n": [5]}
