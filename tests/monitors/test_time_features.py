"""Features of type time: they are compared, unless they move on with the rows, which is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import driftline as dl
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


def test_a_shift_of_twenty_years_is_found(folder: Path) -> None:
    assert _violated(folder, _frame(4, "2024-02-05", year=1980)) == {"born"}


def test_times_that_move_on_with_the_rows_are_said_not_to_be_judged(folder: Path) -> None:
    _write(_frame(2, "2024-02-05"), folder.with_stem("rows"))
    words = ("check", folder.with_stem("rows").name, "--baseline", "b")
    found = driftline(*words, cwd=folder.parent)
    assert "not judged: created" in found.stdout


def test_rows_in_the_order_of_a_time_feature_that_nobody_named_are_quiet(tmp_path: Path) -> None:
    for name, start in (("train", "2024-01-01"), ("later", "2024-03-01")):
        rows = _frame(5, start).drop(columns=["born", "created"]).rename(columns={"at": "paid"})
        rows.loc[1::2, "paid"] = rows["paid"].shift()[1::2]  # Two rows of each moment.
        rows.to_parquet(tmp_path / f"{name}.parquet")
    assert driftline("baseline", "train.parquet", "-o", "b", cwd=tmp_path).returncode == 0
    found = driftline("check", "later.parquet", "--baseline", "b", cwd=tmp_path)
    assert found.returncode == 0, found.stdout
    assert "not judged: paid" in found.stdout


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


@pytest.mark.parametrize("unit", ["s", "D"])
@pytest.mark.parametrize(("start", "days"), [("2024-04-10", 7), ("2024-09-10", 1)])
def test_rows_after_a_shuffled_reference_are_quiet(
    tmp_path: Path, unit: str, start: str, days: int
) -> None:
    train, later = _orders(1, "2024-01-01", 100, unit=unit), _orders(2, start, days, unit=unit)
    code, text = _checked(tmp_path, train, later)
    assert code == 0, text
    assert "not judged: ordered" in text


@pytest.mark.parametrize("default", ["1970-01-01", "9999-12-31"])
def test_a_default_that_the_reference_has_too_keeps_later_rows_quiet(
    tmp_path: Path, default: str
) -> None:
    train = _orders(1, "2024-01-01", 100, default=default, share=0.2)
    later = _orders(2, "2024-04-10", 7, default=default, share=0.2)
    code, text = _checked(tmp_path, train, later)
    assert code == 0, text
    assert "not judged: ordered" in text


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
    assert "TICKET ordered" in text


def _names(report: dl.Report) -> set[str]:
    return {one.feature_name for one in report.violations}


@pytest.mark.parametrize("default", ["0001-01-01", "9999-12-31"])
def test_a_default_of_the_reference_hides_no_other(tmp_path: Path, default: str) -> None:
    train = _frame(1, "2024-01-01", default=default)
    baseline = dl.Baseline.fit(train, timestamp="at")
    same = dl.check(_frame(2, "2024-02-05", default=default), baseline)
    assert "born" not in _names(same)

    rows = _frame(3, "2024-02-05")
    gone = dl.check(rows, baseline)
    rows["born"] = np.datetime64("1900-01-01", "us")
    other = dl.check(rows, baseline)
    for report in (gone, other):
        assert "born" in _names(report), str(report)
        report.to_html(tmp_path / "report.html")
        assert "born" in (tmp_path / "report.html").read_text()


def test_a_quarter_of_the_first_day_of_the_calendar_can_be_described(tmp_path: Path) -> None:
    train = _frame(1, "2024-01-01").assign(born=pd.NaT)
    train["born"] = train["born"].astype("datetime64[us]")
    train.loc[::4, "born"] = np.datetime64("0001-01-01", "us")
    rows = train.assign(born=np.datetime64("1960-01-01", "us"))
    report = dl.check(rows, dl.Baseline.fit(train))
    assert "born" in _names(report), str(report)
    report.to_html(tmp_path / "report.html")


def _seen(seed: int, start: str, days: int, *, years: int, default: str = "") -> pd.DataFrame:
    rng, count = np.random.default_rng(seed), 1000 * days
    at = pd.date_range(start, periods=count, freq="86400ms")
    ago = rng.uniform(0, 365 * years, count) if years else rng.exponential(30, count)
    seen = pd.Series(at - pd.to_timedelta((ago * 86_400).round(), unit="s")).dt.floor("s")
    seen = seen.astype("datetime64[us]")
    if default:
        seen = seen.where(rng.random(count) < 0.5, np.datetime64(default, "us"))
    return pd.DataFrame({"at": at, "amount": rng.normal(size=count).round(4), "seen": seen})


@pytest.mark.parametrize("years", [0, 5, 80])
def test_times_that_move_on_are_quiet_until_many_rows_have_a_new_default(
    tmp_path: Path, years: int
) -> None:
    baseline = dl.Baseline.fit(_seen(1, "2024-01-01", 30, years=years), timestamp="at")
    for seed, start in enumerate(("2024-02-05", "2024-03-01", "2024-03-30", "2026-03-30")):
        assert not _names(dl.check(_seen(seed, start, 1, years=years), baseline))
    for default in ("0001-01-01", "1900-01-01", "9999-12-31", "9999-12-31T23:59:59.999999"):
        rows = _seen(5, "2024-03-01", 1, years=years, default=default)
        report = dl.check(rows, baseline)
        found = [one.severity for one in report.violations if one.feature_name == "seen"]
        assert found == ["ticket"], str(report)
        report.to_html(tmp_path / "report.html")
