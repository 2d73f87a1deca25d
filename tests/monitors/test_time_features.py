"""Features of type time: they are compared, unless they move on with the rows, which is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.servers.commands import driftline

ROWS = 3000


def _frame(seed: int, start: str, *, year: int = 1960, default: str = "") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = pd.to_timedelta(rng.integers(0, 15_000, ROWS), unit="D")
    born = pd.Series(pd.Timestamp(f"{year}-01-01") + days).astype("datetime64[us]")
    if default:
        born = born.where(rng.random(ROWS) < 0.7, np.datetime64(default, "us"))
    at = pd.date_range(start, periods=ROWS, freq="15min", tz="UTC")
    created = at - pd.to_timedelta(rng.integers(0, 600, ROWS), unit="min")
    amount = rng.normal(size=ROWS).round(4)
    return pd.DataFrame({"at": at, "amount": amount, "born": born, "created": created})


@pytest.fixture(scope="module", params=["parquet", "csv"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("times")
    train = place / f"train.{request.param}"
    _write(_frame(1, "2024-01-01"), train)
    words = ("baseline", train.name, "-o", "b", "--timestamp", "at")
    assert driftline(*words, cwd=place).returncode == 0
    return train


def _write(rows: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path)


def _violated(train: Path, rows: pd.DataFrame) -> set[str]:
    _write(rows, train.with_stem("rows"))
    words = ("check", train.with_stem("rows").name, "--baseline", "b", "--json")
    found = driftline(*words, cwd=train.parent)
    assert found.returncode in (0, 1), found.stderr
    return {one["feature_name"] for one in json.loads(found.stdout)["violations"]}


def test_later_rows_of_the_same_people_are_quiet(folder: Path) -> None:
    assert _violated(folder, _frame(2, "2024-02-05")) == set()


@pytest.mark.parametrize("default", ["1900-01-01", "1970-01-01", "9999-12-31"])
def test_a_default_in_a_third_of_a_time_feature_is_found(folder: Path, default: str) -> None:
    rows = _frame(3, "2024-02-05", default=default)
    assert "born" in _violated(folder, rows)


def test_times_that_move_on_with_the_rows_are_said_not_to_be_judged(folder: Path) -> None:
    _write(_frame(2, "2024-02-05"), folder.with_stem("rows"))
    words = ("check", folder.with_stem("rows").name, "--baseline", "b")
    found = driftline(*words, cwd=folder.parent)
    assert "not judged: created" in found.stdout


def _orders(
    seed: int, start: str, days: int, *, unit: str = "s", default: str = "", share: float = 0.0
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    seconds = pd.to_timedelta(rng.integers(0, days * 86_400, 30 * days), unit="s")
    ordered = pd.Series(pd.Timestamp(start) + seconds).dt.floor(unit).astype("datetime64[us]")
    if default:
        ordered = ordered.where(rng.random(len(ordered)) >= share, np.datetime64(default, "us"))
    return pd.DataFrame({"amount": rng.normal(size=len(ordered)).round(4), "ordered": ordered})


def _checked(place: Path, train: pd.DataFrame, later: pd.DataFrame) -> tuple[int, str]:
    train.to_parquet(place / "train.parquet")
    later.to_parquet(place / "later.parquet")
    assert driftline("baseline", "train.parquet", "-o", "b", cwd=place).returncode == 0
    found = driftline("check", "later.parquet", "--baseline", "b", cwd=place)
    return found.returncode, found.stdout


@pytest.mark.first(2)
@pytest.mark.parametrize("unit", ["s", "D"])
@pytest.mark.parametrize(("start", "days"), [("2024-04-10", 7), ("2024-09-10", 1)])
def test_rows_after_a_shuffled_reference_are_quiet(
    tmp_path: Path, unit: str, start: str, days: int
) -> None:
    train, later = _orders(1, "2024-01-01", 100, unit=unit), _orders(2, start, days, unit=unit)
    code, text = _checked(tmp_path, train, later)
    assert code == 0, text
    assert "not judged: ordered" in text


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("default", "share"), [("1970-01-01", 0.5), ("9999-12-31", 0.5), ("9999-12-31", 1.0)]
)
def test_a_new_default_in_rows_after_a_shuffled_reference_is_found(
    tmp_path: Path, default: str, share: float
) -> None:
    train = _orders(1, "2024-01-01", 100)
    later = _orders(2, "2024-04-10", 7, default=default, share=share)
    code, text = _checked(tmp_path, train, later)
    assert code == 1
    assert re.search("^TICKET +ordered ", text, re.MULTILINE), text
