"""What ``driftline baseline`` tells of the columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.commands.fitted import told
from driftline.baseline.store import Baseline

DATA = pa.table(
    {
        "kunden_id": [f"k{number}" for number in range(400)],
        "age": [number % 60 for number in range(400)],
        "paid": [number / 7 for number in range(400)],
        "late": [0, 1] * 200,
    }
)


def test_types_roles_and_a_likely_id_are_told() -> None:
    assert list(told(Baseline.fit(DATA, label="late"))) == [
        "2 whole numbers, 1 number, 1 text; label late",
        "kunden_id looks like an id, and is judged as a feature; if it is one: --id kunden_id",
    ]


def test_a_named_id_is_no_guess_and_neither_is_what_repeats_or_is_named_otherwise() -> None:
    assert list(told(Baseline.fit(DATA, id_column="kunden_id"))) == [
        "2 whole numbers, 1 number, 1 text; id kunden_id"
    ]
    repeated = pa.table({"id": [1, 2] * 200, "name": [f"n{number}" for number in range(400)]})
    assert list(told(Baseline.fit(repeated))) == ["1 whole number, 1 text"]


def test_times_that_no_role_names_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    days = pd.date_range("2026-01-01", periods=400, freq="h", tz="UTC")
    data = DATA.select(["paid"]).append_column("ts", pa.array(days))

    baseline = Baseline.fit(data)
    lines = list(told(baseline))
    Baseline.fit(data, timestamp="ts")
    Baseline.fit(data, exclude=["ts"])

    assert lines[-1].startswith("ts holds times, and no column is named as the time of each row")
    assert lines[-1].endswith("--timestamp ts")
    (record,) = caplog.records
    assert record.getMessage().endswith('timestamp="ts"')


@pytest.mark.parametrize("is_compat", [False, True])
def test_what_windows_would_find_is_told_of_our_tests_alone(
    tmp_path: Path, is_compat: bool
) -> None:
    random = np.random.default_rng(1)
    chance = random.random(2_000)
    late = (random.random(2_000) < chance).astype(int)
    rows = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"late": late, "chance": chance}), rows)
    asked = ["baseline", str(rows), "--kind", "model-quality", "--label", "late"]
    asked += ["--probability", "chance", "-o", str(tmp_path / "b"), *["--compat"] * is_compat]

    found = CliRunner().invoke(build(), asked)

    assert found.exit_code == 0
    assert ("rows a day" in found.output) is not is_compat
