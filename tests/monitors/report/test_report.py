"""What a report shows of itself, and where it says that its rows are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(pa.table({"a": np.arange(1000) % 50, "b": ["x", "y"] * 500}))


def constraints_alone(reference: Baseline) -> Baseline:
    return Baseline(reference.signature, None, None, reference.constraints, {})


def test_a_violation_decides_however_few_the_rows(reference: Baseline) -> None:
    report = check(pa.table({"a": ["?"] * 5, "b": ["x"] * 5}), reference)

    assert not report.passed
    assert report.decided
    assert report.to_dict()["decided"] is True


def test_what_was_not_judged_has_not_passed(reference: Baseline) -> None:
    for count in (0, 5):
        report = check(pa.table({"a": [1] * count, "b": ["x"] * count}), reference)

        assert not report.passed
        assert not report.decided
        assert not report.violations
        assert report.to_dict()["passed"] is False
        assert "nothing could be judged" in repr(report)


def test_a_violation_without_rows_gives_none_of_them(reference: Baseline) -> None:
    report = check(pa.table({"a": np.arange(500) % 50}), reference)

    rows = report.rows(report.violations[0])

    assert report.violations[0].constraint_check_type == "missing_column_check"
    assert len(rows) == 0
    assert rows.columns.tolist() == ["a"]


def test_rows_of_a_violation_that_is_not_there_are_refused_in_a_sentence(
    reference: Baseline,
) -> None:
    calm = check(pa.table({"a": np.arange(500) % 50, "b": ["x", "y"] * 250}), reference)
    broken = check(pa.table({"a": np.arange(500) % 50}), reference)

    for asked in (calm.rows, lambda number: calm.export(number, "rows.csv")):
        with pytest.raises(InputError, match=r"^violation 0: the report has 0 violations$"):
            asked(0)
    with pytest.raises(InputError, match=r"^violation 1: .* 1 violation; expected 0 to 0$"):
        broken.rows(1)


def test_rows_are_also_found_by_the_name_of_the_feature(reference: Baseline) -> None:
    report = check(pa.table({"a": np.arange(500) % 50 + 900, "b": ["x", "y"] * 250}), reference)

    assert report.rows("a").equals(report.rows(0))
    with pytest.raises(InputError, match=r'^violation "b": the report has \d+ violations?, of a$'):
        report.rows("b")


def test_constraints_alone_have_no_drift_to_judge_and_decide(reference: Baseline) -> None:
    report = check(pa.table({"a": [1] * 5, "b": ["x"] * 5}), constraints_alone(reference))

    assert report.passed
    assert report.decided


@pytest.mark.parametrize("form", ["frame", "csv", "parquet"])
def test_rows_are_found_again_by_their_positions(
    reference: Baseline, tmp_path: Path, form: str
) -> None:
    values = pd.DataFrame({"a": np.arange(200) % 50, "b": ["x", "y"] * 100})
    values.loc[150:159, "b"] = "z"
    values.index = pd.date_range("2026-01-01", periods=200)
    values.to_csv(tmp_path / "rows.csv", index=False)
    values.to_parquet(tmp_path / "rows.parquet", index=False)

    report = check(values if form == "frame" else tmp_path / f"rows.{form}", reference)
    chosen = next(one for one in report.violations if one.feature_name == "b")
    found = report.rows(chosen, limit=4)

    assert found.index.tolist() == [150, 151, 152, 153]
    assert found.index.tolist() == [one["row"] for one in chosen.first_rows[:4]]
    assert list(found.columns) == ["b", "a"]
    assert values["b"].iloc[found.index].tolist() == found["b"].tolist()


@pytest.mark.parametrize("table", ["report", "violation", "feature"])
def test_every_key_of_the_document_is_explained(reference: Baseline, table: str) -> None:
    document = check(pa.table({"a": ["?"] * 50, "b": ["x"] * 50}), reference).to_dict()
    text = (Path(__file__).parents[3] / "docs" / "check.md").read_text().partition("## report.json")
    whole, _, rest = text[2].partition("A violation:")
    violation, _, feature = rest.partition("A feature:")
    explained = {"report": whole, "violation": violation, "feature": feature}[table]
    found = {"report": [document], "violation": document["violations"],
             "feature": document["features"]}[table]  # fmt: skip

    cells = [line.split("|")[1] for line in explained.splitlines() if line.startswith("| `")]
    assert set(re.findall("`([a-z_]+)`", " ".join(cells))) == set(found[0])


@pytest.mark.parametrize("kept", ["signature.json", "profile.parquet", "constraints.json"])
def test_a_report_is_not_saved_over_a_baseline(
    reference: Baseline, tmp_path: Path, kept: str
) -> None:
    reference.save(tmp_path / "whole")
    (tmp_path / "some").mkdir()
    for name in {kept, "statistics.json"}:
        (tmp_path / "some" / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    report = check(pa.table({"a": [1] * 300, "b": ["x"] * 300}), reference)

    with pytest.raises(InputError, match=f"a baseline is there .{kept}"):
        report.save(tmp_path / "some")
    assert sorted(one.name for one in (tmp_path / "some").iterdir()) == [kept, "statistics.json"]


@pytest.mark.parametrize("kind", ["data-quality", "model-quality", "bias"])
def test_results_may_be_saved_again_where_results_are(tmp_path: Path, kind: str) -> None:
    flags = [number % 2 for number in range(2000)]
    table = pa.table({"late": flags, "says": flags, "sex": ["F", "M", "F", "M", "M"] * 400})
    baseline = Baseline.fit(table, label="late", prediction="says", facet="sex=F")
    report = check(table, baseline, kind=kind)

    for _ in range(2):
        report.save(tmp_path)

    assert (tmp_path / "report.json").is_file()
