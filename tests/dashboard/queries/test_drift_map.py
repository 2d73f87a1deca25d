"""The map of drift: a day for which another check has found a column in violation is not grey."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import insert, select, update

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.charts.timeline import map_figure
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import Execution
from driftline.monitors.run.drift_map import drift_map
from driftline.monitors.tables import executions
from tests.dashboard.seed import make_engine

MONITOR = "flights-data-quality"
HOURLY = MonitorDefinition("hourly", endpoint="flights", baseline="b", schedule="cron(0 * ? * * *)")
START, HOUR, HOURS = datetime(2013, 9, 1, tzinfo=UTC), timedelta(hours=1), 240


@pytest.fixture(scope="module")
def hourly(tmp_path_factory):
    """Ten days of hours: one column far off in the fourth hour of all, one twice its bound late."""
    folder = tmp_path_factory.mktemp("hourly")
    (folder / "capture" / "flights").mkdir(parents=True)
    engine = make_engine(folder / "driftline.db")
    rows = []
    for hour in range(HOURS):
        begin = START + hour * HOUR
        execution = Execution(
            id=str(hour), monitor="hourly", kind="data-quality", endpoint="flights",
            definition_version=1, baseline="b", baseline_version="1", window_start=begin,
            window_end=begin + HOUR, digest="", status="Completed", started_at=begin,
            finished_at=begin,
        )  # fmt: skip
        ratios = {"calm": 0.25, "early": 0.5, "late": 0.5}
        ratios |= {"early": 3.0} if hour == 3 else {}
        ratios |= {"late": 1.5} if hour == 200 else {"late": 2.0} if hour == 231 else {}
        row = {one.name: getattr(execution, one.name) for one in fields(execution)}
        rows.append(row | {"drift_ratios": ratios})
    with engine.begin() as connection:
        put_definition(connection, HOURLY, START)
        connection.execute(insert(executions), rows)
    yield Stores(engine, str(folder), lambda: START + HOURS * HOUR)
    engine.dispose()


def test_months_of_hours_are_ranked_by_all_of_them_and_drawn_by_the_day(hourly):
    with hourly.engine.connect() as connection:
        found = drift_map(connection, "hourly", None, 1)
    page = str(render(hourly, parse("/endpoints/flights/drift")))

    assert (found.features, found.beyond) == (("early", "late", "calm"), 2)
    assert [found.windows[at].start for at in found.ends(0)[:2]] == [START + 3 * HOUR] * 2
    assert [found.windows[at].start for at in found.ends(1)[:2]] == [
        START + 200 * HOUR, START + 231 * HOUR,
    ]  # fmt: skip
    (trace,) = map_figure("hourly", found)["data"]
    assert trace["z"].shape == (3, 10)
    assert [*trace["z"][0]] == [2.0, *[0.5] * 9]  # The scale ends at twice the bound.
    assert [*trace["z"][1]] == [*[0.5] * 8, 1.5, 2.0]
    assert "window=20130901T030000Z" in trace["customdata"][0][0]
    assert "3 × its bound" in trace["hovertext"][0][0]
    assert "3 columns over 240 windows: 2 in violation at some time" in page
    assert "drawn by the day, the worst window of each" in page


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_is_not_read_is_said_also_where_a_part_was_run_by_hand(hourly, monkeypatch, by_hand):
    monkeypatch.setattr("driftline.monitors.run.drift_map.CELLS_READ", 3 * 120)

    with hourly.engine.connect() as connection:
        if by_hand:
            whole = select(executions).where(executions.c.id == "239")
            part = dict(connection.execute(whole).mappings().one())
            part |= {"id": "part", "window_end": part["window_end"] - HOUR / 2}
            connection.execute(insert(executions).values(part))
        found = drift_map(connection, "hourly", None, 1)
        connection.rollback()

    assert found.window_count == HOURS
    assert len(found.windows) == 120 - by_hand
    assert found.features[0] == "late"


def test_a_column_that_a_check_has_found_in_violation_is_shown_so(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    line, _ = stores.judged(MONITOR, None)
    with seeded.engine.connect() as connection:
        found = drift_map(connection, MONITOR, None, 1)
        stored = dict(connection.execute(select(executions.c.id, executions.c.drift_ratios)).all())
    violated = 0
    for run in line.runs:
        report = stores.storage.report(run.folder)
        for name in {one.feature_name for one in report.violations} & {*found.features}:
            kept = stored[run.execution][name]
            assert kept is None or kept > 1
            at = [one.start for one in found.windows].index(run.start)
            assert found.ratios[found.features.index(name), at] > 1
            violated += 1
    assert violated
    figure = map_figure(MONITOR, found)["data"][0]
    assert np.isfinite(figure["z"]).sum() == (~np.isnan(found.ratios)).sum()


def test_the_table_names_the_first_window_in_violation(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    page = str(render(stores, parse("/endpoints/flights/drift")))

    assert "First violation" in page
    head, *rows = re.search(r"data-csv='(Column,First violation,.*?)'", page)[1].split("\\r\\n")
    assert head == "Column,First violation,Peak in,Peak,Last"
    assert len(rows) > 5
    assert not any("nan" in row for row in rows)


def test_a_columns_peak_is_its_largest_known_ratio(seeded):
    with seeded.engine.connect() as connection:
        found = drift_map(connection, MONITOR, None, 1)
    ratios = np.full_like(found.ratios, 0.5)
    ratios[0, :3] = 1.2, np.inf, 5.76
    ratios[1, 1] = np.inf

    peaks = [replace(found, ratios=ratios).ends(at)[1] for at in (0, 1)]

    assert peaks == [2, 1], "a check's violation is a peak where no ratio lies beyond"


def test_a_check_without_a_distance_ranks_no_column_before_a_larger_ratio(seeded):
    kept = [{"temp": None, "carrier": 8.87, "calm": 0.4}, {"temp": 5.76, "gone": None}]
    is_ours = executions.c.monitor == MONITOR
    with seeded.engine.connect() as connection:
        runs = connection.execute(select(executions.c.id).where(is_ours)).scalars().all()
        for run, ratios in zip(runs[:2], kept, strict=True):
            changed = update(executions).where(executions.c.id == run)
            connection.execute(changed.values(drift_ratios=ratios, is_current=True))
        others = update(executions).where(is_ours, executions.c.id.not_in(runs[:2]))
        connection.execute(others.values(is_current=False))
        found = drift_map(connection, MONITOR, None, 1)
        narrow = drift_map(connection, MONITOR, None, 1, None, executions.c.id == runs[1])
        none = drift_map(connection, MONITOR, None, 1, None, executions.c.id == "")
        connection.rollback()

    assert found.features == ("carrier", "temp", "gone", "calm")
    # A column that no window of the range judges is grey there, and stays on the map.
    assert narrow.features == ("temp", "gone", "calm", "carrier")
    assert np.isnan(narrow.ratios[2:]).all()
    assert [narrow.ends(at)[1] for at in range(4)] == [0, 0, None, None]
    assert none.features == ()
    assert (found.beyond, narrow.beyond, none.beyond) == (3, 2, 0)


def test_a_column_that_no_window_judged_stands_on_the_map_and_is_counted(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    with seeded.engine.connect() as connection:
        stored = select(executions.c.drift_ratios).where(executions.c.monitor == MONITOR)
        judged = {name for ratios in connection.scalars(stored) for name in ratios or ()}
    line, _ = stores.judged(MONITOR, None)
    document = stores.storage.report(line.runs[-1].folder)
    never = {one.feature for one in document.judged_features} - judged

    drift = stores.endpoint(parse("/endpoints/flights/drift")).drift
    page = str(render(stores, parse("/endpoints/flights/drift")))

    assert never
    assert {*drift.features} == judged | never
    assert {*drift.features[-len(never) :]} == never
    assert np.isnan(drift.ratios[-len(never) :]).all()
    said = f"{len(judged | never)} columns over 14 windows: {drift.beyond} in violation at some"
    assert f"{said} time; grey is not judged; {len(never)} never judged" in page


def test_every_page_of_a_map_counts_the_columns_of_all(seeded, monkeypatch):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    found = stores.endpoint(parse("/endpoints/flights/drift")).drift
    beyond = int((found.ratios > 1).any(axis=1).sum())
    monkeypatch.setattr("driftline.monitors.run.drift_map.MAP_FEATURES", 2)

    first, last = (
        str(render(stores, parse("/endpoints/flights/drift", f"page={number}")))
        for number in (1, found.total)
    )

    said = f"{found.total} columns over 14 windows: {beyond} in violation at some time"
    assert 2 < beyond < found.total
    assert said in first
    assert said in last
    assert "1–2 of" in first
    assert "1–2 of" not in last


def test_a_check_without_a_distance_is_told_as_one(seeded):
    with seeded.engine.connect() as connection:
        found = drift_map(connection, MONITOR, None, 1)
    ratios = np.full_like(found.ratios, np.nan)
    ratios[0, -2:] = 0.4, np.inf

    (trace,) = map_figure(MONITOR, replace(found, ratios=ratios))["data"]

    assert np.isnan(trace["z"][0][-3])
    assert float(trace["z"][0][-1]) == trace["zmax"]
    assert "not judged" in trace["hovertext"][0][-3]
    assert "0.4 × its bound" in trace["hovertext"][0][-2]
    assert "in violation by a check" in trace["hovertext"][0][-1]
