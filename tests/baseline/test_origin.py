"""Columns that say where rows come from are not judged, and codes are judged by level."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from driftline.app.init.infer_roles import guess_roles
from driftline.baseline.origin import OF_FOLDERS, origin_reason
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.check import check
from driftline.roles import Roles

GROWS = "its days or times move on with the rows"
DAYS = 12


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ds", ["2026-11-16"]),
        ("ds", ["2026/11/16", "2026/11/17"]),
        ("hour", ["2026-11-16-05"]),
        ("at", ["2026-11-16T05:00:00Z"]),
        ("month", ["2026-11"]),
        ("day", ["20261116", "20261117"]),
        ("day", ["16.11.2026"]),
        ("week", ["2026-W47"]),
        ("batch_id", ["17"]),
        ("batch_id", ["b00001", "b00002"]),
        (
            "batch_id",
            ["0b5d2c9e-5d0f-4d26-9d3e-1c1f0f5e8a11", "8f6b7c1e-2a41-4c0b-8a58-0d9b6f3b2c77"],
        ),
        ("run", ["run-0001", "run-0002"]),
        ("run", ["17"]),
        ("sourceFile", ["orders"]),
        ("load_date", ["17"]),
        ("run", ["nightly_2026-11-16", "nightly_2026-11-17"]),
        ("origin", ["orders-1.parquet", "orders-2.parquet"]),
    ],
)
def test_what_names_a_day_a_file_or_a_batch_is_no_data(name, values) -> None:
    assert origin_reason(name, values) is not None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("version", ["1.10", "2.0"]),
        ("zip", ["10001", "94105"]),
        ("year", ["2025", "2026"]),
        ("currency", ["EUR"]),
        ("model", ["small-2024-08-06"]),
        ("batch_size", ["17", "32"]),
        ("batch_size", ["32"]),
        ("file_type", ["pdf"]),
        ("export_country", ["DE"]),
        ("cpu_load", ["0"]),
        ("load", ["0"]),
        ("load", ["low 1", "high 2"]),
        ("run", ["warm", "cold"]),
        ("run_time", ["0"]),
        ("code", ["20261399"]),
        ("note", []),
    ],
)
def test_what_only_looks_like_it_is_judged(name, values) -> None:
    assert origin_reason(name, values) is None


def test_a_folder_named_by_a_part_of_a_date_is_no_data() -> None:
    assert origin_reason("year", ["2025", "2026"], is_partition=True) is not None
    assert origin_reason("country", ["FR", "DE"], is_partition=True) is None


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """A table of a folder a night, and one more that came later."""
    random = np.random.default_rng(1)
    for day in range(DAYS + 1):
        folder = tmp_path / ("today" if day == DAYS else "table") / f"ds=2026-11-{day + 5:02d}"
        folder.mkdir(parents=True)
        rows = {"x": random.normal(10, 2, 500), "kind": random.choice(["a", "b"], 500)}
        pd.DataFrame(rows).to_parquet(folder / "part.parquet")
    return tmp_path


def test_the_column_of_a_folders_name_does_not_page_every_night(nights: Path) -> None:
    baseline = Baseline.fit(nights / "table")

    for day in (*sorted((nights / "table").iterdir()), nights / "today"):
        report = check(day, baseline)
        assert report.violations == (), day
        (line,) = (one for one in report.results if one.feature == "ds")
        assert line.note == OF_FOLDERS


def test_a_file_outside_the_folders_lacks_no_column(nights: Path) -> None:
    baseline = Baseline.fit(nights / "table")
    (file,) = (nights / "today").glob("*/part.parquet")
    elsewhere = file.rename(nights / "elsewhere.parquet")

    assert check(elsewhere, baseline).violations == ()
    assert check(pd.read_parquet(elsewhere), baseline).violations == ()


def test_a_new_night_is_still_looked_at(nights: Path) -> None:
    baseline = Baseline.fit(nights / "table")
    baseline.save(nights / "baseline")
    spoilt = pd.read_parquet(nights / "today").astype({"ds": str}).assign(kind="c", ds=None)

    found = check(spoilt, Baseline.load(nights / "baseline"))

    assert {one.feature_name for one in found.violations} == {"kind", "ds"}


def test_a_baseline_for_compat_has_the_constraints_of_all_columns(tmp_path: Path) -> None:
    rows = pd.DataFrame({"day": [20261116, 20261117] * 50, "file": ["a.csv"] * 100})
    rows.to_csv(tmp_path / "a.csv", index=False)

    baseline = Baseline.fit(tmp_path / "a.csv", compat=True)

    day, file = baseline.constraints.features
    assert (day.is_non_negative, file.domains) == (True, ("a.csv",))
    assert all(one.unjudged is None for one in baseline.signature.features)


def test_a_day_that_is_declared_to_be_a_code_is_judged(nights: Path) -> None:
    found = check(nights / "today", Baseline.fit(nights / "table", categorical=["ds"]))

    assert {one.feature_name for one in found.violations} == {"ds"}


def test_init_leaves_out_what_a_baseline_would_not_judge(tmp_path: Path) -> None:
    rows = pd.DataFrame({"x": np.arange(300.0), "day": [20261116, 20261117, 20261118] * 100})
    rows.to_parquet(tmp_path / "rows.parquet")

    found = guess_roles(open_source(tmp_path / "rows.parquet"), Roles())

    assert found.roles.exclude == ("day",)
    assert [one.reason for one in found.guesses if one.role == "exclude"] == [GROWS]


def test_what_is_not_judged_is_told(nights: Path) -> None:
    report = check(nights / "today", Baseline.fit(nights / "table"))

    assert report.details["unjudged_note"] == f"not judged: ds ({OF_FOLDERS})"


CODES = np.array([1, 2, 3, 7])


def codes(values: object) -> pd.DataFrame:
    return pd.DataFrame({"x": np.linspace(0, 1, 500), "code": values})


@pytest.mark.parametrize("way", [np.int64, np.float64, str])
def test_a_new_code_is_a_new_level_written_as_the_code(way, tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    baseline = Baseline.fit(codes(random.choice(CODES, 500)), categorical=["code"])
    assert baseline.signature.get("code").data_type == "int64"
    today = codes(random.choice([1, 2, 3, 7, 9], 500).astype(way))
    today.to_csv(tmp_path / "today.csv", index=False)

    for data in (today, tmp_path / "today.csv"):
        report = check(data, baseline)
        assert {one.constraint_check_type for one in report.violations} == {
            "categorical_values_check", "baseline_drift_check",
        }  # fmt: skip
        assert all('new level "9"' in one.cause for one in report.violations)
    assert check(codes(random.choice(CODES, 500)), baseline).passed


def test_codes_are_the_same_with_zeros_before_them_and_with_gaps(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    drawn = random.choice(CODES, 2_000)
    (tmp_path / "a.csv").write_text("\n".join(["code,x", *(f"{one:03d},1.5" for one in drawn)]))
    baseline = Baseline.fit(tmp_path / "a.csv", categorical=["code"])

    for data in (tmp_path / "a.csv", codes(np.where(np.arange(500) < 1, np.nan, drawn[:500]))):
        assert not any(one.severity == "page" for one in check(data, baseline).violations)


def test_a_code_has_no_other_role_and_is_settled_with_the_baseline() -> None:
    rows = codes(CODES.repeat(125))

    with pytest.raises(InputError, match='"code" is given as label and as categorical'):
        Baseline.fit(rows, label="code", categorical=["code"])
    with pytest.raises(InputError, match='categorical "cod": the data has no such column'):
        Baseline.fit(rows, categorical="cod")
    baseline = Baseline.fit(rows, categorical="code")
    assert check(rows, baseline, categorical=["code"]).passed
    with pytest.raises(InputError, match='categorical "x": a check judges the columns'):
        check(rows, baseline, categorical=["x"])


def test_init_takes_whole_numbers_for_codes_by_their_name() -> None:
    rows = (
        codes(CODES.repeat(125)).rename(columns={"code": "store_code"}).assign(stops=[1, 2] * 250)
    )

    found = guess_roles(open_source(rows), Roles())

    assert found.roles.categorical == ("store_code",)
    (told,) = (one for one in found.guesses if one.role == "categorical")
    assert told.reason == 'named like a code ("code"), with 4 values'


def test_new_values_of_an_excluded_column_are_no_violation() -> None:
    values = {"x": np.arange(300.0), "run": ["a", "b", "c"] * 100}
    fitted = Baseline.fit(pd.DataFrame(values), exclude="run")

    report = check(pd.DataFrame(values | {"run": ["d"] * 300}), fitted)

    assert not report.violations
