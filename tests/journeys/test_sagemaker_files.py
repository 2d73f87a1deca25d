"""SageMaker's files on the command line: its baselines, its judgement, its record scripts.

The expected texts and counts are those of the AWS notebook "sm-model_monitor_introduction", which
reports 60 violations on its traffic, and of documents that SageMaker wrote.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.servers.commands import driftline

FIXTURES = Path(__file__).parents[1] / "fixtures"
TRAINING = FIXTURES / "baseline" / "churn.csv"
REGRESSION = FIXTURES / "monitors" / "model_quality"
# The job that wrote the fixture took the columns the other way round (its README says so).
REGRESSION_ROLES = ("--label", "Prediction", "--prediction", "Label", "--problem", "regression")
PREPROCESS = """
def preprocess_handler(inference_record):
    input_data = inference_record.endpoint_input.data
    output_data = inference_record.endpoint_output.data.rstrip("\\n")
    data = output_data + "," + input_data
    names = ["score", "temp", "shop"]
    return {name: d for name, d in zip(names, data.split(","))}
"""
POSTPROCESS = """
import json, os

def postprocess_handler():
    with open(os.path.join(os.environ["output_path"], "constraint_violations.json")) as file:
        count = len(json.load(file)["violations"])
    with open(os.path.join(os.environ["output_path"], "count.txt"), "w") as file:
        file.write(str(count))
"""


def line(index: int, rng: np.random.Generator, factor: float) -> str:
    shop = ["Bern", "Lyon", "Rome"][index % 3]
    temp = rng.gamma(4, 10) * (factor if shop == "Rome" else 1)
    sides = {
        "endpointInput": ("INPUT", f"{temp:.1f},{shop}"),
        "endpointOutput": ("OUTPUT", f"{rng.random():.3f}\n"),
    }
    return json.dumps(
        {
            "captureData": {
                name: {
                    "observedContentType": "text/csv", "mode": mode, "data": data,
                    "encoding": "CSV",
                }
                for name, (mode, data) in sides.items()
            },
            "eventMetadata": {"eventId": f"e{index}", "inferenceTime": "2026-01-15T12:00:00Z"},
            "eventVersion": "0",
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the churn baseline and the notebook's 1,977 requests."""
    made = tmp_path_factory.mktemp("churn")
    fitted = driftline("baseline", str(TRAINING), "-o", "baseline", cwd=made)
    assert fitted.returncode == 0, fitted.stderr
    inputs = (FIXTURES / "monitors" / "test-dataset-input-cols.csv").read_text().splitlines()
    sent = inputs[:180] + inputs * 5 + inputs[:127]
    rows = [f"0.{number * 7919 % 9973 + 1:05d},{row}" for number, row in enumerate(sent)]
    (made / "traffic.csv").write_text("\n".join(rows) + "\n")
    return made


def test_the_job_of_the_notebook_gives_its_sixty_violations(churn: Path) -> None:
    found = driftline("check", "traffic.csv", "--baseline", "baseline", "-o", "out", cwd=churn)
    written = json.loads((churn / "out" / "constraint_violations.json").read_text())["violations"]

    expected = "Data type match requirement is not met. Expected data type: Integral, "
    expected += "Expected match: 100.0%. Observed: Only {} of data is Integral."
    assert found.returncode == 1
    assert Counter(one["description"] for one in written) == {
        expected.format("99.64592817400101%"): 59,
        expected.format("0.0%"): 1,
    }
    assert {one["constraint_check_type"] for one in written} == {"data_type_check"}
    assert sorted(path.name for path in (churn / "out").iterdir()) == [
        "constraint_violations.json", "report.json", "statistics.json",
    ]  # fmt: skip


def test_model_quality_gives_sagemakers_documents_byte_for_byte(tmp_path: Path) -> None:
    data = str(REGRESSION / "baseline_dataset.csv")
    made = driftline(
        "baseline", data, "--kind", "model-quality", *REGRESSION_ROLES, "-o", "b", cwd=tmp_path
    )

    assert made.returncode == 0, made.stderr
    for name in ("statistics.json", "constraints.json"):
        assert (tmp_path / "b" / name).read_text() == (REGRESSION / name).read_text()


def test_a_folder_that_sagemaker_wrote_judges_model_quality(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in ("statistics.json", "constraints.json"):
        (folder / name).write_text((REGRESSION / name).read_text())

    found = driftline(
        "check", str(REGRESSION / "baseline_dataset.csv"), "--baseline", str(folder),
        *REGRESSION_ROLES, "--json",
    )  # fmt: skip

    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["kind"] == "model-quality"
    assert {one["name"] for one in report["metrics"]} >= {"mae", "mse", "rmse", "r2"}


@pytest.fixture(scope="module")
def quality(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one baseline that SageMaker wrote, and one that breaks its data."""
    made = tmp_path_factory.mktemp("compat")
    for kind in ("good", "bad"):
        (made / kind).mkdir()
        source = FIXTURES / "baseline" / f"quality.constraints.{kind}.json"
        shutil.copy(source, made / kind / "constraints.json")
        shutil.copy(
            FIXTURES / "baseline" / "quality.statistics.json", made / kind / "statistics.json"
        )
    shutil.copy(FIXTURES / "baseline" / "quality.csv", made / "rows.csv")
    return made


def test_a_baseline_of_compat_is_sagemakers_to_the_byte(quality: Path) -> None:
    found = driftline("baseline", "rows.csv", "--compat", "-o", "made", cwd=quality)

    assert found.returncode == 0, found.stderr
    for name in ("statistics.json", "constraints.json"):
        assert (quality / "made" / name).read_bytes() == (quality / "good" / name).read_bytes()


def test_data_that_keep_the_constraints_pass(quality: Path) -> None:
    found = driftline(
        "check", "rows.csv", "--baseline", "good", "--compat", "-o", "out", cwd=quality
    )

    assert found.returncode == 0, found.stderr
    for name in ("statistics.json", "constraints.json"):
        assert (quality / "out" / name).read_bytes() == (quality / "good" / name).read_bytes()
    violations = (quality / "out" / "constraint_violations.json").read_text()
    assert violations == '{\n  "violations" : [ ]\n}'


def test_data_that_break_them_do_not(quality: Path) -> None:
    found = driftline("check", "rows.csv", "--baseline", "bad", "--compat", "--json", cwd=quality)

    assert found.returncode == 1, found.stderr
    report = json.loads(found.stdout)
    assert [one["feature_name"] for one in report["violations"]] == ["_c5"]
    assert report["details"] == {"compat": True}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--compat", "--kind", "outliers"), "SageMaker has no such monitor"),
    ],
)
def test_what_does_not_go_together_is_said(
    quality: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    found = driftline("check", "rows.csv", "--baseline", "good", *arguments, cwd=quality)

    assert found.returncode == 2
    assert sentence in found.stderr


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    rng = np.random.default_rng(12)
    for name, rows, factor in (("train", 4000, 1.0), ("good", 1200, 1.0), ("bad", 1200, 0.6)):
        text = "\n".join(line(index, rng, factor) for index in range(rows))
        (tmp_path / f"{name}.jsonl").write_text(text + "\n")
    (tmp_path / "pre.py").write_text(PREPROCESS)
    (tmp_path / "post.py").write_text(POSTPROCESS)
    return tmp_path


def judge(folder: Path, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    given = ("--baseline", "base", "--preprocess", "pre.py", *more)
    return driftline("check", f"{name}.jsonl", *given, cwd=folder)


@pytest.fixture
def by_shop(captured: Path) -> Path:
    given = ("--preprocess", "pre.py", "--segment", "shop", "-o", "base")
    made = driftline("baseline", "train.jsonl", *given, cwd=captured)
    assert made.returncode == 0, made.stderr
    return captured


def test_a_till_that_books_too_little_is_found_in_its_shop(by_shop: Path) -> None:
    good = judge(by_shop, "good")
    bad = judge(by_shop, "bad", "-o", "out", "--postprocess", "post.py")
    forms = [judge(by_shop, "bad", "--format", form) for form in ("json", "html", "junit")]
    wrong = judge(by_shop, "good", "--segment", "temp")

    assert (good.returncode, bad.returncode, wrong.returncode) == (0, 1, 2), good.stderr
    assert 'shop = "Rome"' in bad.stdout
    document = json.loads((by_shop / "out" / "constraint_violations.json").read_text())
    segments = {one.get("segment") for one in document["violations"]}
    assert 'shop = "Rome"' in segments
    assert segments <= {None, 'shop = "Rome"'}
    assert (by_shop / "out" / "count.txt").read_text() == str(len(document["violations"]))
    assert all("Rome" in form.stdout for form in forms)
    assert "shop" in wrong.stderr


def test_compat_takes_the_columns_of_a_script_sorted_and_as_text(captured: Path) -> None:
    given = ("--preprocess", "pre.py", "--compat", "-o", "base")
    fitted = driftline("baseline", "train.jsonl", *given, cwd=captured)
    judged = judge(captured, "good", "--compat", "--json")

    assert (fitted.returncode, judged.returncode) == (0, 0), fitted.stderr + judged.stderr
    statistics = json.loads((captured / "base" / "statistics.json").read_text())
    assert [(one["name"], one["inferred_type"]) for one in statistics["features"]] == [
        ("score", "Fractional"), ("shop", "String"), ("temp", "Fractional"),
    ]  # fmt: skip
