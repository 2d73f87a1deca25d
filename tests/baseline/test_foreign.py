"""Folders and files that others wrote: SageMaker's documents, rows without names."""

from __future__ import annotations

import json
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


def test_half_of_a_surrogate_pair_is_replaced_in_texts_and_names() -> None:
    frame = pd.DataFrame({"x": ["a", "\ud800b"] * 40}, dtype=object)
    frame.columns = pd.Index(["x\ud800"], dtype=object)

    found = Baseline.fit(frame)

    assert found.profile is not None
    assert found.profile.columns["x?"].levels.values.to_pylist() == ["a", "?b"]


def test_a_file_whose_name_is_no_unicode_is_named_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"path: half of a surrogate pair in .*\\ud800"):
        Baseline.fit(tmp_path / "rows\ud800.csv")
