"""Commands that need no server: replays and audits."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.commands.files import read_resources
from driftline.capture.spool.writer import SpoolWriter
from driftline.errors import InputError
from tests.alerts.replays import document
from tests.servers.commands import driftline
from tests.sinking import sink_all


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


def test_an_audit_ends_with_0_where_it_adds_up_1_where_not_and_3_where_tables_cannot_be_read(
    tmp_path: Path,
) -> None:
    """Of an installation in which twenty records were captured and three lost."""
    root = tmp_path / ".driftline"
    writer = SpoolWriter(root / "spool")
    for _ in range(3):
        writer.count_drop("full", "orders")
    for _ in range(20):
        writer.append({"endpoint": "orders"}, status=200, wall_ns=1_700_000_000_000_000_000)
    writer.close()
    sink_all(root, root / "spool")
    table = root / "capture" / "orders"
    asked = ("capture", "audit", "--full")
    more = {"cwd": tmp_path, "env": {**os.environ, "DRIFTLINE_STORAGE__ROOT": str(root)}}

    good = driftline(*asked, "--json", **more)
    for file in table.rglob("*.parquet"):
        file.unlink()
    bad = driftline(*asked, **more)
    shutil.rmtree(table / "_delta_log")
    (table / "_delta_log").mkdir()
    (table / "_delta_log" / f"{0:020d}.json").write_text("no log", encoding="ascii")
    unread = driftline(*asked, **more)

    assert (good.returncode, bad.returncode, unread.returncode) == (0, 1, 3), good.stderr
    found = json.loads(good.stdout)
    assert (found["numbers"], found["stored"], found["gaps"]) == (21, 20, 1)
    assert "(orders): 2-21" in bad.stdout
    assert "Traceback" not in unread.stderr
