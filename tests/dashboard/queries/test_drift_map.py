"""The map of drift: a day for which another check has found a column in violation is not grey."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from sqlalchemy import select, update

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.charts.timeline import map_figure
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.run.drift_map import drift_map
from driftline.monitors.tables import executions

MONITOR = "flights-data-quality"


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

    peaks = replace(found, ratios=ratios).peaks

    assert [*peaks[:2]] == [2, 1], "a check's violation is a peak where no ratio lies beyond"


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
    assert narrow.peaks.tolist() == [0, 0, 0, 0]
    assert none.features == ()
    assert (found.beyond, narrow.beyond, none.beyond) == (3, 2, 0)


def test_every_page_of_a_map_counts_the_columns_of_all(seeded, monkeypatch):
    with seeded.engine.connect() as connection:
        found = drift_map(connection, MONITOR, None, 1)
    beyond = int((found.ratios > 1).any(axis=1).sum())
    monkeypatch.setattr("driftline.monitors.run.drift_map.MAP_FEATURES", 2)
    stores = Stores(seeded.engine, seeded.root, seeded.now)

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
