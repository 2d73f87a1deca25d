"""A baseline that never fitted gives one finding; drift of later gives alarms as ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from driftline.baseline import store as baselines
from driftline.baseline.cache import BaselineCache
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import NotFoundError
from driftline.monitors.check import check
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.executions import Execution
from driftline.monitors.run.execution import Job, run
from driftline.monitors.warm_up.store import WarmUpStatus, accept, read_status
from driftline.monitors.window_history.store import Key
from tests.monitors.conftest import DAY, START, append_day, weather

DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")
ROWS = 300


@pytest.fixture
def backend() -> str:
    return "sqlite"  # The SQL of both is told by tests/monitors/warm_up/test_store.py.


def clock() -> datetime:
    return datetime(2024, 4, 1, tzinfo=UTC)


def timed(
    rng: np.random.Generator,
    days: int,
    *,
    rows_of: Callable[[np.random.Generator], dict[str, np.ndarray]] | None = None,
) -> Baseline:
    """A baseline of the days before the first window, which wander in temperature."""
    parts, times = [], []
    for day in range(-days, 0):
        parts.append(wandering(rng, ROWS) if rows_of is None else rows_of(rng))
        moment = START + day * DAY
        times += [moment + timedelta(seconds=60 * (row % 1440)) for row in range(ROWS)]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    stamps = pa.array(times, pa.timestamp("us", tz="UTC"))
    return Baseline.fit(pa.table({**rows, "at": stamps}), timestamp="at")


def wandering(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    found = weather(rng, rows)
    return {
        **found,
        "temp": found["temp"] + rng.normal(0, 9),
        "wind": np.round(found["wind"] * np.exp(rng.normal(0, 0.35)), 1),
        "stops": rng.poisson(1.5 * np.exp(rng.normal(0, 0.4)), rows),
    }


class House:
    """A monitor that judges day after day, with what a scheduler keeps from window to window."""

    def __init__(self, engine: Engine, root: str, baseline: Baseline) -> None:
        self.engine, self.root, self.baseline = engine, root, baseline
        baselines.put(root, "flights", baseline, clock)
        self.reports: list[dict] = []
        self.loaded, self.drift_tests = BaselineCache(), DriftTestCache()

    def judge(self, day: int, rows: dict[str, np.ndarray], definition=DEFINITION) -> Execution:
        append_day(self.root, self.baseline.signature, day, rows)
        return self.again(day, definition)

    def again(self, day: int, definition: MonitorDefinition = DEFINITION) -> Execution:
        found = run(Job(
            self.engine, self.root, definition,
            Window(START + day * DAY, START + (day + 1) * DAY),
            now=clock, signature=self.baseline.signature,
            baselines=self.loaded.get, drift_tests=self.drift_tests,
        ))  # fmt: skip
        text = Path(self.root, found.folder, "report.json").read_text()
        self.reports.append(json.loads(text))
        return found

    @property
    def key(self) -> Key:
        return Key.of(DEFINITION, self.baseline.version)

    def read_status(self) -> WarmUpStatus | None:
        with self.engine.connect() as connection:
            return read_status(connection, self.key)

    def checks(self) -> list[list[str]]:
        """Check types by day, in order."""
        return [
            sorted(one["constraint_check_type"] for one in report["violations"])
            for report in self.reports
        ]


Make = Callable[[Baseline], House]


@pytest.fixture
def make(engine: Engine, root: str) -> Make:
    return lambda baseline: House(engine, root, baseline)


@pytest.fixture(scope="module")
def fitting() -> Baseline:
    """A reference with times, of the same stream."""
    return timed(np.random.default_rng(5), 60)


def changed_origin(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {**wandering(rng, ROWS), "origin": np.repeat(["EWR", "JFK"], ROWS // 2)}


def test_a_stream_that_fits_is_never_held_back(make: Make, fitting: Baseline, rng) -> None:
    house = make(fitting)
    for day in range(5):
        house.judge(day, wandering(rng, ROWS))

    assert house.checks() == [[]] * 5
    assert house.read_status() == WarmUpStatus(START)


def test_what_differs_from_the_first_window_on_is_told_once(make: Make, fitting, rng) -> None:
    house = make(fitting)
    executions = [house.judge(day, changed_origin(rng)) for day in range(4)]

    assert house.checks() == [["commissioning_check"], [], [], []]
    assert [one.status for one in executions] == ["CompletedWithViolations", *["Completed"] * 3]
    assert executions[0].page_count == 0
    assert executions[0].cause.startswith(
        "The baseline does not fit yet: origin differs from the reference since the first window "
    )
    assert executions[0].cause.endswith(" --accept")  # The command is whole.
    for report in house.reports:
        note = next(one["note"] for one in report["features"] if one["feature"] == "origin")
        assert note == "commissioning"
        assert report["details"]["commissioning"]["grounds"] == {"origin": "misfit"}
    stable = house.reports[-1]["details"]["commissioning"]["stable"]
    assert stable["to"] == (START + 4 * DAY).isoformat()
    assert stable["row_count"] >= 3 * ROWS


def test_drift_that_begins_later_alarms_also_in_the_fitting_period(
    make: Make, fitting, rng
) -> None:
    house = make(fitting)
    for day in range(3):
        house.judge(day, wandering(rng, ROWS))
    house.judge(3, changed_origin(rng))

    assert house.checks() == [[], [], [], ["baseline_drift_check"]]


def test_drift_that_lasts_alarms_when_half_of_the_windows_have_it(make: Make, fitting, rng) -> None:
    house = make(fitting)
    for day in range(3):
        house.judge(day, wandering(rng, ROWS))
    for day in range(3, 9):
        house.judge(day, changed_origin(rng))

    assert house.checks() == [[]] * 3 + [["baseline_drift_check"]] * 6


def test_other_columns_alarm_while_one_is_held_back(make: Make, fitting, rng) -> None:
    house = make(fitting)
    for day in range(3):
        house.judge(day, changed_origin(rng))
    house.judge(3, {**changed_origin(rng), "carrier": np.repeat(["UA"], ROWS)})

    assert house.checks()[3] == ["baseline_drift_check"]
    assert house.reports[3]["violations"][0]["feature_name"] == "carrier"
    assert house.reports[3]["violations"][0]["share_of_blame"] == 1.0


def routed(rng: np.random.Generator, share: float = 0.02) -> dict[str, np.ndarray]:
    """Rows with more destinations than a list of values is kept of, and a share to the first."""
    dest = np.array([f"D{one:03}" for one in rng.integers(0, 200, ROWS)])
    return {**wandering(rng, ROWS), "dest": np.where(rng.random(ROWS) < share, "D000", dest)}


def test_values_never_seen_alarm_in_a_column_that_is_held_back(make: Make, rng) -> None:
    house = make(timed(np.random.default_rng(5), 60, rows_of=routed))
    for day in range(3):
        house.judge(day, routed(rng, 0.3))
    lower = routed(rng, 0.3)
    house.judge(3, {**lower, "dest": np.char.lower(lower["dest"])})
    house.judge(4, routed(rng, 0.3))

    assert house.checks() == [["commissioning_check"], [], [], ["baseline_drift_check"], []]
    assert house.reports[3]["violations"][0]["feature_name"] == "dest"
    assert house.reports[3]["violations"][0]["severity"] == "page"


def test_types_gaps_and_units_alarm_as_ever(make: Make, fitting, rng) -> None:
    house = make(fitting)
    rows = changed_origin(rng)
    house.judge(0, {**rows, "wind": rows["wind"] * 1000})

    assert "commissioning_check" in house.checks()[0]
    assert {"unit_change_check", "range_check"} & set(house.checks()[0])


def test_what_was_held_stays_held_after_the_fitting_period(make: Make, fitting, rng) -> None:
    house = make(fitting)
    for day in range(16):
        house.judge(day, changed_origin(rng))

    found = house.read_status()
    assert found is not None
    assert found.ended_at == START + 14 * DAY
    assert house.checks() == [["commissioning_check"], *[[]] * 15]


def test_who_accepts_gets_the_alarms(make: Make, fitting, rng, engine: Engine) -> None:
    house = make(fitting)
    with engine.begin() as connection, pytest.raises(NotFoundError, match="no window against"):
        accept(connection, house.key, now=clock(), author="ann", reason="new airport")
    house.judge(0, changed_origin(rng))
    with engine.begin() as connection:
        accept(connection, house.key, now=clock(), author="ann", reason="new airport")

    house.judge(1, changed_origin(rng))

    assert house.checks() == [["commissioning_check"], ["baseline_drift_check"]]
    found = house.read_status()
    assert found is not None
    assert (found.accepted_by, found.accepted_reason) == ("ann", "new airport")


def test_another_version_of_the_baseline_is_commissioned_anew(make: Make, fitting, rng) -> None:
    house = make(fitting)
    house.judge(0, changed_origin(rng))
    newer = timed(np.random.default_rng(6), 60, rows_of=changed_origin)
    house.baseline = newer
    baselines.put(house.root, "flights", newer, lambda: clock() + DAY)

    house.judge(1, changed_origin(rng))

    assert house.checks() == [["commissioning_check"], []]
    assert house.read_status() == WarmUpStatus(START + DAY)


def test_the_telling_window_tells_again_when_it_is_judged_anew(make: Make, fitting, rng) -> None:
    house = make(fitting)
    for day in range(3):
        house.judge(day, changed_origin(rng))
    append_day(house.root, fitting.signature, 0, changed_origin(rng), spool="late")

    house.again(0)

    assert house.checks()[-1] == ["commissioning_check"]


def test_a_reference_without_times_holds_drift_until_production_has_told_how_it_varies(
    make: Make, rng
) -> None:
    parts = [wandering(np.random.default_rng(seed), ROWS) for seed in range(60)]
    pooled = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    house = make(Baseline.fit(pa.table(pooled)))
    for day in range(24):
        house.judge(day, wandering(rng, ROWS))

    found = [checks for checks in house.checks() if checks]
    assert found == [["commissioning_check"]]
    told = next(report for report in house.reports if report["violations"])
    assert "a reference without times" in told["cause"]
    assert "until 14 windows and 14 days have shown how much" in told["violations"][0]["cause"]


def test_after_that_it_finds_what_changes(make: Make, rng) -> None:
    parts = [wandering(np.random.default_rng(seed), ROWS) for seed in range(60)]
    pooled = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    house = make(Baseline.fit(pa.table(pooled)))
    for day in range(16):
        house.judge(day, wandering(rng, ROWS))
    house.judge(16, changed_origin(rng))

    assert house.checks()[-1] == ["baseline_drift_check"]
    assert house.reports[-1]["violations"][0]["feature_name"] == "origin"


def test_a_check_holds_nothing_back(fitting: Baseline, rng) -> None:

    rows = changed_origin(rng)
    stamps = pa.array(
        [START + timedelta(minutes=row) for row in range(ROWS)], pa.timestamp("us", tz="UTC")
    )
    report = check(pa.table({**rows, "at": stamps}), fitting)

    assert [one.constraint_check_type for one in report.violations] == ["baseline_drift_check"]
    assert report.suppressed_drift is None


def leaning(rng: np.random.Generator, share: float) -> dict[str, np.ndarray]:
    """A day on which the first airport has a share of its own."""
    rest = (1 - share) / 2
    return {**wandering(rng, ROWS), "origin": rng.choice(
        ["EWR", "JFK", "LGA"], ROWS, p=[share, rest, rest])}  # fmt: skip


def told_of(house: House, name: str) -> list[int]:
    """Days on which drift of a column alarms."""
    return [
        day
        for day, report in enumerate(house.reports)
        if any(
            one["feature_name"] == name and one["constraint_check_type"] == "baseline_drift_check"
            for one in report["violations"]
        )
    ]


def test_what_differs_since_the_first_window_is_held_when_only_longer_spans_show_it(
    make: Make, fitting, rng
) -> None:
    house = make(fitting)
    for day in range(38):
        house.judge(day, leaning(rng, 0.395))

    (told,) = [day for day, checks in enumerate(house.checks()) if "commissioning_check" in checks]
    assert told > 14
    assert told_of(house, "origin") == []
    assert house.reports[told]["details"]["commissioning"]["stable"] is not None


@pytest.mark.parametrize("begins", [8, 20])
def test_what_begins_later_alarms_by_long_spans_too(make: Make, fitting, rng, begins: int) -> None:
    house = make(fitting)
    for day in range(38):
        house.judge(day, leaning(rng, 1 / 3 if day < begins else 0.395))
        if told_of(house, "origin"):
            break

    assert [checks for checks in house.checks() if "commissioning_check" in checks] == []
    assert told_of(house, "origin") != []


@pytest.mark.parametrize(("first", "more", "told"), [(0.3, 0.25, True), (0.012, 0.016, False)])
def test_values_never_seen_are_counted_from_what_the_first_windows_had(
    make: Make, first: float, more: float, told: bool
) -> None:
    """Two more rows in a hundred, whatever came from the start."""

    def seen(day: int, more: float = 0.0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([day, 5])
        rows = routed(rng, ROWS)
        at = rng.random(ROWS)
        dest = np.where(at < first, "NEW", rows["dest"])
        return {**rows, "dest": np.where(at > 1 - more, "GARBLED", dest)}

    house = make(timed(np.random.default_rng(5), 60, rows_of=routed))
    for day in range(3):
        house.judge(day, seen(day))
    house.judge(3, seen(3, more))

    pages = [
        one for one in house.reports[-1]["violations"]
        if one["feature_name"] == "dest" and one["severity"] == "page"
    ]  # fmt: skip
    assert bool(pages) == told
