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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two baselines with data: one that drifts, and one of which a column cannot be judged."""
    folder = tmp_path_factory.mktemp("formats")
    dl.Baseline.fit(pa.table({"a": np.arange(1000) % 50})).save(folder / "then")
    pq.write_table(pa.table({"a": np.arange(100) + 40}), folder / "now.parquet")
    slow = np.repeat(np.arange(40) // 8 % 2, 24 * 20)
    at = np.datetime64("2026-01-01", "us") + np.arange(slow.size) * np.timedelta64(180, "s")
    timed = pa.table({"at": at, "slow": slow.astype(float), "x": np.arange(slow.size) % 50})
    dl.Baseline.fit(timed, timestamp="at").save(folder / "timed")
    pq.write_table(timed.slice(0, 480), folder / "day.parquet")
    return folder


@pytest.mark.parametrize(
    ("words", "code", "files"),
    [
        ("now then --format text,html,junit -o OUT", 1, {"report.html", "junit.xml"}),
        ("now then --json -o OUT", 1, set()),
        ("now then --format text,html", 2, None),
        ("now then --format pdf -o OUT", 2, None),
        ("day timed --fail-on unjudged", 3, None),
    ],
)
def test_the_command_writes_what_was_asked_for_and_says_what_it_found(
    folder: Path, tmp_path: Path, words: str, code: int, files: set[str] | None
) -> None:
    data, baseline, *rest = words.replace("OUT", str(tmp_path / "out")).split()
    done = driftline("check", f"{data}.parquet", "--baseline", baseline, *rest, cwd=folder)

    assert done.returncode == code
    documents = {"statistics.json", "constraint_violations.json", "report.json"}
    found = {one.name for one in (tmp_path / "out").glob("*")}
    assert found == (set() if files is None else files | documents)
    assert bool(done.stdout) == (code != 2)


@pytest.mark.parametrize("form", FORMATS)
def test_no_form_steers_a_terminal(capsys: pytest.CaptureFixture[str], form: str) -> None:
    # ESC, the C1 control sequence introducer, a bell, and a turn of the direction of writing.
    odd = "a\x1b[31m\x9b2J\x07\u202eb"
    baseline = dl.Baseline.fit(pa.table({odd: ["x", odd] * 200}))
    report = dl.check(pa.table({odd: [f"new {odd}"] * 200}), baseline)

    show(report, (form,), None)

    said = capsys.readouterr().out
    assert "new " in said
    assert not set(said) & set("\x1b\x9b\x07\u202e")
    if form == "json":
        assert json.loads(said) == json.loads(report.documents()["report.json"])
