"""The command ``driftline monitor backtest``: on files, by a declared monitor, and wrong use."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from driftline.app.cli import build

UNTIL = "2024-02-01"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty days of rows; in the last two, sums are ten times as large."""
    rng = np.random.default_rng(11)
    count = 40 * 500
    times = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(172_800_000, "us")
    factor = np.where(np.arange(count) >= 38 * 500, 10.0, 1.0)
    table = pa.table(
        {
            "at": times,
            "sum": rng.gamma(4, 3, count) * factor,
            "<shop>": rng.choice(["north", "south"], count),
        }
    )
    file = tmp_path_factory.mktemp("data") / "sales.parquet"
    pq.write_table(table, file)
    return str(file)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(build("monitor"), ["monitor", "backtest", *words])


def asked(data: str, *words: str) -> Result:
    given = ("--data", data, "--timestamp", "at", "--reference-until", UNTIL)
    return invoke(*given, *words)


def test_a_file_is_replayed_and_a_change_ends_with_one(data: str) -> None:
    result = asked(data)

    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("9 windows of 1d from 2024-02-01 to 2024-02-10, 2 columns")
    assert "2 windows would have alarmed, in 1 episodes" in lines
    assert any(line.startswith("2024-02-08 00:00:00  sum: ") for line in lines)


def test_quiet_days_end_with_zero(data: str) -> None:
    result = asked(data, "--to", "2024-02-05")

    assert result.exit_code == 0, result.output
    assert "no window would have alarmed" in result.stdout


def test_windows_of_which_none_could_be_judged_are_no_pass(data: str) -> None:
    few = ("--window", "1h", "--to", "2024-02-01T01:00:00Z")

    result, held = asked(data, *few), asked(data, *few, "--json")

    assert (result.exit_code, held.exit_code) == (3, 3)
    assert "no window could be judged" in result.stdout
    assert "would have alarmed" not in result.stdout
