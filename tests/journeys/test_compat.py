"""``--compat`` on the command line: SageMaker's judgement from its files, with every exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.journeys.conftest import driftline

FIXTURES = Path(__file__).parents[1] / "fixtures" / "baseline"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one baseline that SageMaker wrote, and one that breaks its data."""
    made = tmp_path_factory.mktemp("compat")
    for kind in ("good", "bad"):
        (made / kind).mkdir()
        source = FIXTURES / f"quality.constraints.{kind}.json"
        shutil.copy(source, made / kind / "constraints.json")
        shutil.copy(FIXTURES / "quality.statistics.json", made / kind / "statistics.json")
    shutil.copy(FIXTURES / "quality.csv", made / "rows.csv")
    return made


def test_a_baseline_of_compat_is_sagemakers_to_the_byte(folder: Path) -> None:
    found = driftline("baseline", "rows.csv", "--compat", "-o", "made", cwd=folder)

    assert found.returncode == 0, found.stderr
    for name in ("statistics.json", "constraints.json"):
        assert (folder / "made" / name).read_bytes() == (folder / "good" / name).read_bytes()


def test_data_that_keep_the_constraints_pass(folder: Path) -> None:
    found = driftline(
        "check", "rows.csv", "--baseline", "good", "--compat", "-o", "out", cwd=folder
    )

    assert found.returncode == 0, found.stderr
    for name in ("statistics.json", "constraints.json"):
        assert (folder / "out" / name).read_bytes() == (folder / "good" / name).read_bytes()
    violations = (folder / "out" / "constraint_violations.json").read_text()
    assert violations == '{\n  "violations" : [ ]\n}'


def test_data_that_break_them_do_not(folder: Path) -> None:
    found = driftline(
        "check", "rows.csv", "--baseline", "bad", "--compat", "--deequ-ties", "--json", cwd=folder
    )

    assert found.returncode == 1, found.stderr
    report = json.loads(found.stdout)
    assert [one["feature_name"] for one in report["violations"]] == ["_c5"]
    assert report["details"] == {"compat": {"deequ_ties": True, "bias_intervals": False}}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--deequ-ties",), "--deequ-ties without --compat"),
        (("--compat", "--kind", "outliers"), "SageMaker has no such monitor"),
    ],
)
def test_what_does_not_go_together_is_said(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    found = driftline("check", "rows.csv", "--baseline", "good", *arguments, cwd=folder)

    assert found.returncode == 2
    assert sentence in found.stderr
