"""Commands that need no server: replays and audits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.commands.files import read_resources
from driftline.errors import InputError
from tests.alerts.replays import document
from tests.servers.commands import driftline


@pytest.mark.parametrize(
    ("text", "owner"),
    [("2026-01-31", "2026-01-31"), ("!!binary aGk=", None), ("!!set {a, b}", None)],
)
def test_yaml_holds_what_json_holds_and_times(tmp_path: Path, text: str, owner: str | None) -> None:
    file = tmp_path / "resources.yaml"
    file.write_text(f"kind: Channel\nname: ops\nowner: {text}\n")

    if owner is None:
        with pytest.raises(InputError):
            read_resources(file)
    else:
        assert read_resources(file)[0]["owner"] == owner


def test_a_file_gives_one_line_for_each_evaluation(tmp_path: Path) -> None:
    (tmp_path / "errors.json").write_text(json.dumps(document([1, 0, 0])))

    found = CliRunner().invoke(build("alarm"), ["alarm", "replay", f"{tmp_path}/errors.json"])

    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["state"] for line in lines] == ["ALARM", "OK", "OK"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty days of rows; in the last two, sums are ten times as large."""
    rng = np.random.default_rng(11)
    count = 40 * 500
    times = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(172_800_000, "us")
    factor = np.where(np.arange(count) >= 38 * 500, 10.0, 1.0)
    table = pa.table({"at": times, "sum": rng.gamma(4, 3, count) * factor})
    file = tmp_path_factory.mktemp("data") / "sales.parquet"
    pq.write_table(table, file)
    return str(file)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("", 1, "2 windows would have alarmed, in 1 episodes"),
        ("--to 2024-02-05", 0, "no window would have alarmed"),
        ("--window 1h --to 2024-02-01T01:00:00Z", 3, "no window could be judged"),
        ("--to nonsense", 2, ""),
    ],
)
def test_a_file_is_replayed_and_the_exit_code_says_what_was_found(
    data: str, words: str, code: int, said: str
) -> None:
    asked = ["--data", data, "--timestamp", "at", "--reference-until", "2024-02-01"]

    result = CliRunner().invoke(build("monitor"), ["monitor", "backtest", *asked, *words.split()])

    assert (code == 2 and result.exception) or result.exit_code == code, result.output
    assert said in result.stdout


def test_an_audit_ends_with_3_where_tables_cannot_be_read(tmp_path: Path) -> None:
    log = tmp_path / ".driftline" / "capture" / "orders" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020d}.json").write_text("no log", encoding="ascii")

    unread = driftline("capture", "audit", "--full", cwd=tmp_path)

    assert unread.returncode == 3
    assert "Traceback" not in unread.stderr
