"""The command ``driftline monitor backtest`` on a file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty days of rows; in the last two, sums are ten times as large."""
    rng = np.random.default_rng(11)
    count = 40 * 500
    times = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(172_800_000, "us")
    factor = np.where(np.arange(count) >= 38 * 500, 10.0, 1.0)
    shops = rng.choice(["north", "south"], count)
    table = pa.table({"at": times, "sum": rng.gamma(4, 3, count) * factor, "<shop>": shops})
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
