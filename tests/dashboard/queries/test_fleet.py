"""Monitors with many windows, as the page of their endpoint shows them."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from driftline.dashboard.address import parse
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.queries import fleet
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import NEWEST_WINDOWS, Execution, record
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


def test_what_one_chart_has_no_room_for_is_left_out_and_said(stores, monkeypatch):
    for module in (fleet, endpoint_page):
        monkeypatch.setattr(module, "MARKS_SHOWN", 78)

    view = stores.endpoint(HEALTH)

    assert [len(line.runs) for line in view.line.monitors] == [39, 39]
    assert view.line.monitors[0].runs[-1].start == START + (DAYS - 1) * DAY
    text = str(endpoint_page.page(view))
    assert "78 windows judged, none with violations; the newest of 2 monitors" in text
    assert "older windows, or none" in text


def test_older_windows_take_one_statement_and_only_health_asks_for_them(stores):
    asked = []
    event.listen(stores.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))

    stores.endpoint(HEALTH)
    drift = stores.endpoint(parse("/endpoints/flights/changes"))

    assert sum("UNION ALL" in one for one in asked) == 1
    assert len(drift.line.monitors[0].runs) == NEWEST_WINDOWS
