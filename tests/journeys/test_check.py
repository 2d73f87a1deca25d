"""``driftline baseline`` and ``driftline check`` on a real job's data, with every exit code.

The expected texts and counts are those of the AWS notebook "sm-model_monitor_introduction", which
reports 60 violations on this traffic.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.journeys.conftest import driftline

FIXTURES = Path(__file__).parents[1] / "fixtures"
TRAINING = FIXTURES / "baseline" / "churn.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the churn baseline and the notebook's 1,977 requests."""
    made = tmp_path_factory.mktemp("churn")
    fitted = driftline("baseline", str(TRAINING), "-o", "baseline", cwd=made)
    assert fitted.returncode == 0, fitted.stderr
    inputs = (FIXTURES / "monitors" / "test-dataset-input-cols.csv").read_text().splitlines()
    sent = inputs[:180] + inputs * 5 + inputs[:127]
    rows = [f"0.{number * 7919 % 9973 + 1:05d},{row}" for number, row in enumerate(sent)]
    (made / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (made / "traffic.csv").write_text("\n".join(rows) + "\n")
    return made


def test_the_job_of_the_notebook_gives_its_sixty_violations(folder: Path) -> None:
    found = driftline("check", "traffic.csv", "--baseline", "baseline", "-o", "out", cwd=folder)
    written = json.loads((folder / "out" / "constraint_violations.json").read_text())["violations"]

    expected = "Data type match requirement is not met. Expected data type: Integral, "
    expected += "Expected match: 100.0%. Observed: Only {} of data is Integral."
    assert found.returncode == 1
    assert Counter(one["description"] for one in written) == {
        expected.format("99.64592817400101%"): 59,
        expected.format("0.0%"): 1,
    }
    assert {one["constraint_check_type"] for one in written} == {"data_type_check"}
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "constraint_violations.json", "report.json", "statistics.json",
    ]  # fmt: skip


def test_the_training_file_itself_is_all_right(folder: Path) -> None:
    found = driftline("check", str(TRAINING), "--baseline", "baseline", "--json", cwd=folder)

    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["passed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("missing.csv", "--baseline", "baseline"), "missing.csv: no such file"),
        (("traffic.csv", "--baseline", "nowhere"), "nowhere: no such folder"),
        (("ragged.csv", "--baseline", "baseline"), "ragged.csv"),
        (("traffic.csv", "--baseline", "baseline", "--format", "pdf"), "pdf"),
        (("traffic.csv", "--baseline", "baseline", "--colour"), "--colour"),
    ],
)
def test_wrong_use_is_2_and_one_sentence(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    found = driftline("check", *arguments, "-o", "none", cwd=folder)

    assert found.returncode == 2
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr
    assert not (folder / "none").exists()


def test_no_rows_cannot_be_decided(folder: Path) -> None:
    header = TRAINING.read_text().splitlines()[0]
    (folder / "empty.csv").write_text(header + "\n")

    found = driftline("check", "empty.csv", "--baseline", "baseline", cwd=folder)

    assert found.returncode == 3, found.stderr


def test_too_few_rows_to_judge_anything_are_3_and_said_once(folder: Path) -> None:
    (folder / "five.csv").write_text("\n".join(TRAINING.read_text().splitlines()[:6]) + "\n")

    found = driftline("check", "five.csv", "--baseline", "baseline", cwd=folder)

    assert found.returncode == 3
    assert found.stdout == ""
    assert found.stderr.count("5 rows, too few to judge") == 1


def test_a_server_that_is_not_there_is_4() -> None:
    found = driftline("get", "monitor", "--server", "http://127.0.0.1:9")

    assert found.returncode == 4
    assert "driftline up" in found.stderr


def test_a_role_that_names_no_column_says_the_nearest(folder: Path) -> None:
    found = driftline("baseline", str(TRAINING), "--label", "Chrun", "-o", "none", cwd=folder)

    assert found.returncode == 2
    assert "Churn" in found.stderr
    assert not (folder / "none").exists()


def test_results_never_overwrite_the_baseline_and_the_next_check_still_fails(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folder / "baseline").iterdir()}

    found = driftline(
        "check", "traffic.csv", "--baseline", "baseline", "-o", "baseline", cwd=folder
    )

    assert found.returncode == 2
    assert found.stderr.count("baseline: a baseline is there (signature.json)") == 1
    assert {path.name: path.read_bytes() for path in (folder / "baseline").iterdir()} == before
