"""Whole checks with compat: a published job told again, folders that SageMaker wrote, captures."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from tests.churn import captured_churn

FIXTURES = Path(__file__).parents[2] / "fixtures"
CHURN = FIXTURES / "monitors" / "training-dataset-with-header.csv"
INPUTS = FIXTURES / "monitors" / "test-dataset-input-cols.csv"
TEXT = (
    "Data type match requirement is not met. Expected data type: Integral, "
    "Expected match: 100.0%. Observed: Only {}% of data is Integral."
)


@pytest.fixture(scope="module")
def churn() -> Baseline:
    return Baseline.fit(CHURN, compat=True)


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The requests of sm-model_monitor_introduction, as SageMaker captured them."""
    rows = INPUTS.read_text().split()
    sent = rows[:180] + 5 * rows + rows[:127]
    assert len(sent) == 1977
    file = tmp_path_factory.mktemp("churn") / "capture.jsonl"
    file.write_text(captured_churn(sent))
    return file


@pytest.fixture(scope="module")
def report(churn: Baseline, traffic: Path) -> Report:
    return check(traffic, churn, compat=True)


@pytest.mark.full
def test_the_published_job_of_60_violations_is_told_again(report: Report) -> None:
    # Its printed result: "CompletedWithViolations: Job completed successfully with 60 violations."
    assert Counter(one.description for one in report.violations) == {
        TEXT.format("99.64592817400101"): 59,
        TEXT.format("0.0"): 1,
    }
    assert [one.feature_name for one in report.violations if "Only 0.0%" in one.description] == [
        "Churn"
    ]


def test_rows_behind_a_wrong_type_are_found_by_their_text(report: Report) -> None:
    violation = next(one for one in report.violations if one.feature_name == "State_AL")

    rows = report.rows(violation)

    assert violation.row_count == len(rows) == 7
    assert [pointer["row"] for pointer in violation.first_rows] == [
        0, 180, 180 + 334, 180 + 2 * 334, 180 + 3 * 334, 180 + 4 * 334, 180 + 5 * 334,
    ]  # fmt: skip
    assert all("." in text for text in rows["State_AL"])
    assert sum(one.share_of_blame for one in report.violations) == pytest.approx(1)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder as SageMaker's baselining job leaves it."""
    for name in ("statistics", "constraints"):
        source = "quality.constraints.good" if name == "constraints" else f"quality.{name}"
        shutil.copy(FIXTURES / "baseline" / f"{source}.json", tmp_path / f"{name}.json")
    return tmp_path


def test_a_baseline_that_sagemaker_wrote_is_kept_by_its_own_data(theirs: Path) -> None:
    report = check(FIXTURES / "baseline" / "quality.csv", theirs, compat=True)

    assert report.passed
    assert report.decided
    assert {one.distance for one in report.results} == {0.0}
    documents = report.documents()
    assert documents["constraint_violations.json"] == '{\n  "violations" : [ ]\n}'
    # A job writes the window's statistics and its suggestion beside it: here those of the baseline.
    for name in ("statistics.json", "constraints.json"):
        assert documents[name] == (theirs / name).read_text()


def test_the_bad_constraints_of_the_sdks_tests_are_broken(theirs: Path) -> None:
    source = FIXTURES / "baseline" / "quality.constraints.bad.json"
    shutil.copy(source, theirs / "constraints.json")

    report = check(FIXTURES / "baseline" / "quality.csv", theirs, compat=True)

    assert report.documents()["constraint_violations.json"] == (
        "{\n"
        '  "violations" : [ {\n'
        '    "feature_name" : "_c5",\n'
        '    "constraint_check_type" : "data_type_check",\n'
        '    "description" : "Data type match requirement is not met. Expected data type: String, '
        'Expected match: 100.0%. Observed: Only 0.0% of data is String."\n'
        "  } ]\n"
        "}"
    )


def test_a_document_of_2019_compares_as_its_old_keys_say(tmp_path: Path) -> None:
    for name in ("statistics", "constraints"):
        source = FIXTURES / "baseline" / f"monitor.{name}.json"
        shutil.copy(source, tmp_path / f"{name}.json")
    text = "preproc-not-YET-supported-for-csv-json"
    (tmp_path / "rows.csv").write_text("message,second_message\n" + f"{text},{text}\n" * 100)

    report = check(tmp_path / "rows.csv", tmp_path, compat=True)

    assert report.passed
    message, second = report.results
    assert (message.distance, message.bound) == (0.0, 1.0)
    assert second.state == "no_reference"


@pytest.mark.full
def test_documents_that_sagemaker_wrote_alone_are_enough(
    churn: Baseline, traffic: Path, report: Report, tmp_path: Path
) -> None:
    (tmp_path / "statistics.json").write_text(churn.statistics.to_json())  # type: ignore[union-attr]
    (tmp_path / "constraints.json").write_text(churn.constraints.to_json())

    found = check(traffic, tmp_path, compat=True)

    for name in ("statistics.json", "constraints.json", "constraint_violations.json"):
        assert found.documents()[name] == report.documents()[name]
    assert [one.distance for one in found.results] == [one.distance for one in report.results]


def test_the_churn_baseline_is_the_one_that_sagemaker_printed(churn: Baseline) -> None:
    # model-monitor, sections 3.1 and 3.4: numbers of the notebook's output.
    assert churn.statistics is not None
    block = churn.statistics.features["Churn"]["numerical_statistics"]
    assert block["mean"] == 0.1393056150878697
    assert round(block["std_dev"], 6) == 0.346265
    for name, start in (
        ("Account Length", [119.0, 100.0, 111.0, 181.0, 95.0]),
        ("Day Mins", [178.1, 160.3, 197.1, 105.2, 283.1]),
    ):
        kll = churn.statistics.features[name]["numerical_statistics"]["distribution"]["kll"]
        assert kll["sketch"]["parameters"] == {"c": 0.64, "k": 2048.0}
        assert [len(level) for level in kll["sketch"]["data"]] == [283, 1025]
        assert kll["sketch"]["data"][0][:5] == start
        assert len(kll["buckets"]) == 10
        assert sum(bucket["count"] for bucket in kll["buckets"]) == 2333.0
    assert churn.statistics.item_count == 2333
