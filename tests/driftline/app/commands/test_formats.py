"""The forms of a check's result, several at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import driftline as dl
from driftline.app.commands.verdict import FORMATS, show
from tests.servers.commands import driftline


@pytest.mark.parametrize(
    ("options", "code", "files"),
    [
        ("--format text,html,junit -o OUT", 1, {"report.html", "junit.xml", "report.json"}),
        ("--format html -o OUT", 1, {"report.html", "report.json"}),
        ("--json -o OUT", 1, {"report.json"}),
        ("--format text,html", 2, set()),
        ("--format pdf -o OUT", 2, set()),
    ],
)
def test_the_command_writes_what_was_asked_for_and_says_what_it_found(
    tmp_path: Path, options: str, code: int, files: set[str]
) -> None:
    pq.write_table(pa.table({"a": np.arange(1000) % 50}), tmp_path / "then.parquet")
    pq.write_table(pa.table({"a": np.arange(100) + 40}), tmp_path / "now.parquet")
    dl.Baseline.fit(tmp_path / "then.parquet").save(tmp_path / "baseline")
    words = options.replace("OUT", str(tmp_path / "out")).split()

    done = driftline("check", tmp_path / "now.parquet", "--baseline", tmp_path / "baseline", *words)

    assert done.returncode == code
    found = {one.name for one in (tmp_path / "out").glob("*")}
    documents = {"statistics.json", "constraint_violations.json"}
    assert found == (files | documents if files else set())
    assert bool(done.stdout) == (code == 1)
    assert ("expected some of" in done.stderr or "add -o" in done.stderr) == (code == 2)


@pytest.mark.parametrize("form", FORMATS)
def test_no_form_steers_a_terminal(capsys: pytest.CaptureFixture[str], form: str) -> None:
    # ESC, the C1 control sequence introducer, a bell, and a turn of the direction of writing.
    odd = "a\x1b[31m\x9b2J\x07\u202eb"
    baseline = dl.Baseline.fit(pa.table({odd: ["x", odd] * 200}))
    report = dl.check(pa.table({odd: [f"new {odd}"] * 200}), baseline)

    show(report, (form,), None)

    said = capsys.readouterr().out
    assert "new a" in said
    assert not set(said) & set("\x1b\x9b\x07\u202e")
    if form == "json":
        assert json.loads(said) == json.loads(report.documents()["report.json"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A baseline of which a column is one number for eight days, and one day of it."""
    folder = tmp_path_factory.mktemp("unjudged")
    slow = np.repeat(np.arange(40) // 8 % 2, 24 * 20)
    at = np.datetime64("2026-01-01", "us") + np.arange(slow.size) * np.timedelta64(180, "s")
    timed = pa.table({"at": at, "slow": slow.astype(float), "x": np.arange(slow.size) % 50})
    dl.Baseline.fit(timed, timestamp="at").save(folder / "timed")
    pq.write_table(timed.slice(0, 480), folder / "day.parquet")
    return str(folder), "1 of 2 columns could not be judged ("


def test_fail_on_unjudged_is_exit_code_3(folders: tuple[str, str]) -> None:
    folder, line = folders

    done = driftline(
        "check", f"{folder}/day.parquet", "--fail-on", "unjudged", "--baseline", f"{folder}/timed"
    )

    assert done.returncode == 3
    assert line in done.stderr
