"""Monitors with many windows, as the page of their endpoint shows them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, update

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.charts import canvas
from driftline.dashboard.charts.timeline import health_figure
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.pages import overview as overview_page
from driftline.dashboard.queries import fleet
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import NEWEST_WINDOWS, Execution, record
from driftline.monitors.tables import executions
from tests.dashboard.seed import make_engine

START = datetime(2013, 9, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 90
HEALTH = parse("/endpoints/flights")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "capture" / "flights").mkdir(parents=True)
    engine = make_engine(folder / "driftline.db")
    for name in ("first", "second"):
        definition = MonitorDefinition(name, endpoint="flights", baseline="b", start=START)
        with engine.begin() as connection:
            put_definition(connection, definition, START)
        for day in range(DAYS):
            begin, count = START + day * DAY, int(day == 50)
            status = "CompletedWithViolations" if count else "Completed"
            record(engine, Execution(
                id=f"{name} {day}", monitor=name, kind="data-quality", endpoint="flights",
                definition_version=1, baseline="b", baseline_version="1", window_start=begin,
                window_end=begin + DAY, digest="", status=status, violation_count=count,
                page_count=count, cause="temp moved" * count, started_at=begin, finished_at=begin,
            ), [], before=None)  # fmt: skip
    with engine.begin() as connection:
        ratios = {"temp": 0.5}
        connection.execute(update(executions).values(drift_ratios=ratios))
    yield Stores(engine, str(folder), lambda: START + DAYS * DAY)
    engine.dispose()


def test_health_shows_every_window_and_counts_them_all(stores):
    view = stores.endpoint(HEALTH)

    assert [[run.start for run in line.runs] for line in view.line.monitors] == [
        [START + day * DAY for day in range(DAYS)]
    ] * 2
    assert view.line.monitors[0].runs[50].cause == "temp moved"
    text = str(endpoint_page.page(view))
    assert "180 windows judged, 2 with violations; 2 monitors" in text
    assert "older windows" not in text


def test_violations_lie_over_windows_without_which_are_small_where_they_are_many(
    stores, monkeypatch
):
    lines = stores.endpoint(HEALTH).line.monitors[:1]

    def marks():
        drawn = (one["marker"] for one in health_figure(lines)["data"] if one["customdata"])
        return {one["symbol"]: one["size"] for one in drawn}

    few = marks()
    monkeypatch.setattr(canvas, "MANY_WINDOWS", DAYS - 1)
    many = marks()

    assert [*few] == [*many] == ["circle-open", "triangle-up"]  # What is drawn last is on top.
    assert many["circle-open"] < few["circle-open"]
    assert many["triangle-up"] == few["triangle-up"]


def test_a_window_whose_run_failed_has_a_mark_of_its_own(stores):
    view = stores.endpoint(HEALTH)
    first = view.line.monitors[0]
    runs = tuple(replace(one, state=state) for one, state in zip(
        first.runs, ("failed", "empty", "ok"), strict=False))  # fmt: skip

    drawn = health_figure([replace(first, runs=runs)])["data"]

    symbols = [one["marker"]["symbol"] for one in drawn if one["customdata"]]
    assert symbols == ["line-ew", "x", "circle-open"]
    assert "'✕', className='faint'), 'failed'" in str(endpoint_page.page(view))


def test_what_one_chart_has_no_room_for_is_left_out_and_said(stores, monkeypatch):
    for module in (fleet, endpoint_page):
        monkeypatch.setattr(module, "MARKS_SHOWN", 78)

    view = stores.endpoint(HEALTH)

    assert [len(line.runs) for line in view.line.monitors] == [39, 39]
    assert view.line.monitors[0].runs[-1].start == START + (DAYS - 1) * DAY
    text = str(endpoint_page.page(view))
    assert "78 windows judged, none with violations; the newest of 2 monitors" in text
    assert "older windows, or none" in text


def test_pages_say_how_many_windows_of_the_time_shown_they_leave_out(stores, monkeypatch):
    monkeypatch.setattr("driftline.monitors.run.standing.WINDOWS_SHOWN", 30)
    monkeypatch.setattr("driftline.monitors.run.judged_windows.WINDOWS_SHOWN", 30)
    monkeypatch.setattr("driftline.monitors.run.judged_windows.LATER_SHOWN", 6)
    monkeypatch.setattr("driftline.monitors.run.drift_map.MAP_WINDOWS", 30)

    def page(path):
        return str(render(stores, parse(*path.partition("?")[::2])))

    newest = page("/monitors/first")
    around = page(f"/monitors/first?window={START + 40 * DAY:%Y%m%dT%H%M%SZ}")
    drift = page("/endpoints/flights/drift")
    late = f"from={START + 80 * DAY:%Y-%m-%d}"
    ranged = page(f"/monitors/first?{late}") + page(f"/endpoints/flights/drift?{late}")

    assert "30 windows judged, none with violations; the newest 30 of 90; shown" in newest
    assert "30 windows judged, none with violations; 30 of 90, around one; shown" in around
    assert "over the newest 30 of 90 windows: none in violation" in drift
    assert "10 windows judged, none with violations; shown" in ranged
    assert "over 10 windows" in ranged


def test_older_windows_take_one_statement_and_only_health_asks_for_them(stores):
    asked = []
    event.listen(stores.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))

    stores.endpoint(HEALTH)
    drift = stores.endpoint(parse("/endpoints/flights/changes"))

    assert sum("UNION ALL" in one for one in asked) == 1
    assert len(drift.line.monitors[0].runs) == NEWEST_WINDOWS


def test_older_windows_do_not_change_how_a_monitor_stands(stores):
    judged_long_ago = executions.c.window_start < START + 50 * DAY
    with stores.engine.begin() as connection:
        connection.execute(update(executions).where(judged_long_ago).values(max_drift_ratio=0.5))

    on_fleet, in_health = stores.overview().monitors, stores.endpoint(HEALTH).line.monitors

    assert in_health[0].runs[0].ratio == 0.5
    assert [one.found_state for one in on_fleet] == ["partly", "partly"]
    assert [one.found_state for one in in_health] == ["partly", "partly"]


def test_metrics_worse_than_the_reference_within_their_bounds_are_told_apart(tmp_path):
    engine = make_engine(tmp_path / "driftline.db")
    (tmp_path / "capture" / "flights").mkdir(parents=True)
    definition = MonitorDefinition(
        "quality", endpoint="flights", baseline="b", kind="model-quality", schedule="external"
    )
    with engine.begin() as connection:
        put_definition(connection, definition, START)
    stores = Stores(engine, str(tmp_path), lambda: START + 4 * DAY)

    def judge(day, count):
        begin = START + day * DAY
        record(engine, Execution(
            id=str(day), monitor="quality", kind="model-quality", endpoint="flights",
            definition_version=1, baseline="b", baseline_version="1", window_start=begin,
            window_end=begin + DAY, digest="", status="Completed", worse_count=count,
            row_count=5, started_at=begin, finished_at=begin,
        ), [], before=None)  # fmt: skip

    judge(1, None)  # Of a version that did not count them: as before.
    judge(2, 0)
    before = stores.overview()
    judge(3, 2)
    fleet_view, health = stores.overview(), stores.endpoint(HEALTH)

    assert overview_page.word_of_monitors(before.monitors, 0) == ("Nothing is wrong now", "ok")
    assert before.shown[0].worst.state == fleet_view.shown[0].worst.state == "ok"
    said = "worse than the reference (intervals apart), within the bound"
    page = str(overview_page.page(fleet_view))
    assert "◇ Worse" in page
    assert ["◇ worse" in page, "▲ violations" in page] == [True, False]
    assert "∅ no data" in str(overview_page.page(stores.overview(state="empty")))
    assert "✓ OK," not in page
    assert f"No violations; 1 monitor finds metrics {said}" in page
    assert [one.name for one in stores.overview(state="worse").shown] == ["flights"]
    assert stores.overview(state="ok").total == 0
    figure = health_figure(health.line.monitors)
    marks = {one["marker"]["symbol"]: one for one in figure["data"] if one["customdata"]}
    assert {name: len(one["x"]) for name, one in marks.items()} == {
        "diamond-open": 1, "circle-open": 2,
    }  # fmt: skip
    assert f"2 metrics {said}" in marks["diamond-open"]["hovertext"][0]
    text = str(endpoint_page.page(health))
    assert f"3 windows judged, none with violations, 1 {said}" in text
    assert "'◇'" in text
    engine.dispose()
