"""What the pages are told, against the installation that the rooms themselves made."""

import json
import shutil
import sqlite3
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import create_engine, delete, func, select, update
from sqlalchemy.pool import StaticPool

from driftline.alerts.tables import outbox
from driftline.capture.audit.report import Coverage
from driftline.dashboard.address import parse
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.pages import monitor as monitor_page
from driftline.dashboard.pages import overview as overview_page
from driftline.dashboard.pages import windows
from driftline.dashboard.queries.stores import Stores
from driftline.errors import NotFoundError
from driftline.monitors.executions import INSUFFICIENT, NO_LABELS, get_execution
from driftline.monitors.run.stored_report import Feature, read_document
from driftline.monitors.state import State
from driftline.monitors.tables import executions, reports

BUG = "20131118T000000Z"


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def test_overview_counts_what_the_tables_hold(stores, seeded):
    view = stores.overview()

    with seeded.engine.connect() as connection:
        windows = connection.scalar(select(func.count()).select_from(executions))
        rows = connection.scalar(select(func.sum(executions.c.row_count)))
        dead = select(func.count()).select_from(outbox).where(outbox.c.status == "failed")
        failed = connection.scalar(dead)
    assert len(view.monitors[0].runs) == windows
    stats = stores.endpoint(parse("/endpoints/flights/traffic")).stats
    assert stats.rows == rows
    assert view.shown[0].coverage == stats.overall
    assert view.dead_count == failed


def test_guilty_rows_are_those_of_the_planted_carrier(stores, seeded):
    rows = stores.monitor(seeded.monitor, BUG, "carrier").rows

    assert set(rows.offending) == {"EDV"}
    assert len(rows.events) == min(50, rows.total)
    assert len(rows.columns) <= 12  # As many as a page of 3,000 nodes has room for.
    assert all(len(record) == len(rows.columns) for record in rows.records)
    assert len({rows.feature, "event_id", "event_time", *rows.columns}) <= 20
    assert all(time.startswith("18 Nov 2013") for time in rows.times)


@pytest.mark.parametrize("feature", ["carrier", "hour", "dewp", "precip"])
def test_comparison_counts_all_rows_of_both_sides(stores, seeded, feature):
    view = stores.monitor(seeded.monitor, BUG, feature)

    found = view.comparison

    assert found.window_rows == view.run.row_count
    assert found.reference.sum() == pytest.approx(1.0)
    assert found.window.sum() == pytest.approx(1.0)
    assert np.any(found.moved)
    assert len(found.labels) <= 26


@pytest.mark.parametrize(
    ("window", "feature"), [("20990101T000000Z", None), ("x", None), (None, "no such feature")]
)
def test_unknown_window_or_feature_is_not_found(stores, seeded, window, feature):
    with pytest.raises(NotFoundError):
        stores.monitor(seeded.monitor, window, feature)


def copied(seeded):
    """Copy the database into memory."""
    database = create_engine("sqlite://", poolclass=StaticPool)
    with sqlite3.connect(seeded.engine.url.database) as source, database.connect() as target:
        source.backup(target.connection.driver_connection)
    return database


def judged_with(seeded, row_count):
    """Show the window of the bug as if so many rows had been judged."""
    day = datetime(2013, 11, 18, tzinfo=UTC)
    database = copied(seeded)
    early = executions.update().where(executions.c.window_start == day)
    with database.begin() as connection:
        connection.execute(early.values(row_count=row_count))
    return Stores(database, seeded.root, seeded.now).monitor(seeded.monitor, BUG, "carrier")


def test_rows_that_were_deleted_since_the_verdict_are_said_and_nobody_is_sent_to_judge_again(
    seeded,
):
    view = judged_with(seeded, 100_000)

    (note,) = view.notes
    assert " of 100,000 rows of this window have been deleted (erased, or past retention)" in note
    assert "monitor run" not in note


def test_a_report_that_was_erased_leaves_the_verdict(seeded):
    database = copied(seeded)
    with database.begin() as connection:
        connection.execute(delete(reports))
    bare = Stores(database, seeded.root, seeded.now)

    view = bare.monitor(seeded.monitor, BUG, None)

    assert view.features == ()
    assert "EDV" in view.cause
    assert "EDV" in str(monitor_page.page(view))
    said = windows.verdict(view, view.run)
    assert said.startswith("Violations, but this window's documents have been deleted (")


def test_captured_rows_are_not_shown_for_those_that_a_script_made(stores, seeded):
    database, run = copied(seeded), stores.monitor(seeded.monitor, BUG, None).run
    with database.begin() as connection:
        report = json.loads(read_document(connection, get_execution(connection, run.id)))
        made = json.dumps({**report, "details": {"preprocess": "<rows>.py"}}).encode()
        connection.execute(update(reports).values(document=zlib.compress(made)))

    view = Stores(database, seeded.root, seeded.now).monitor(seeded.monitor, BUG, "carrier")

    assert view.feature.feature == "carrier"
    assert (view.comparison, view.rows) == (None, None)
    assert "made by <rows>.py and are not kept" in str(monitor_page.page(view))


def test_a_broken_table_hides_neither_alarms_nor_other_endpoints(seeded, tmp_path):
    root = tmp_path / "store"
    shutil.copytree(seeded.root, root)
    for file in (root / "capture" / "flights" / "_delta_log").glob("*.json"):
        file.write_text("garbage")
    (root / "capture" / "other").mkdir()
    broken = Stores(seeded.engine, str(root), seeded.now)

    view = broken.overview()

    assert view.alarms.shown
    assert {line.name: line.coverage for line in view.shown} == {
        "flights": None, "other": Coverage(0, 0),
    }  # fmt: skip
    page = str(endpoint_page.page(broken.endpoint(parse("/endpoints/flights/traffic"))))
    assert "The captured rows cannot be read now" in page


def test_what_a_library_says_below_its_first_line_stays_off_the_page(seeded, tmp_path):
    root = tmp_path / "store"
    shutil.copytree(seeded.root, root)
    for file in (root / "capture" / "flights" / "_delta_log").glob("*.json"):
        file.write_text("garbage")

    view = Stores(seeded.engine, str(root), seeded.now).monitor(seeded.monitor, BUG, "carrier")

    (note,) = view.notes
    assert note.startswith("The captured rows cannot be read: ")
    assert "\n" not in note


def test_before_the_first_window_nothing_is_said_to_be_right(stores):
    view = stores.overview()
    waiting = tuple(replace(monitor, runs=()) for monitor in view.monitors)

    assert overview_page.word_of_monitors(waiting, 0) == (
        "No window has been judged yet",
        "none",
    )


@pytest.mark.parametrize("reason", [None, NO_LABELS])
def test_where_no_monitor_could_judge_nothing_is_said_to_be_right(stores, reason):
    view = stores.overview()
    first, *others = view.monitors
    runs = (replace(first.runs[-1], status=INSUFFICIENT, failure_reason=reason),)
    monitors = (replace(first, runs=runs), *(replace(monitor, runs=()) for monitor in others))

    assert overview_page.word_of_monitors(monitors, 0) == (
        "No monitor could judge its newest window",
        "none",
    )


def test_a_window_of_too_few_rows_is_not_said_to_hold_no_violations(stores, seeded):
    view = stores.monitor(seeded.monitor, None, None)
    line = "12 rows; nothing could be judged: too few rows"
    run = replace(view.run, status=INSUFFICIENT, violation_count=0, headline=line)
    unjudged = Feature("carrier", "string", state=State.INSUFFICIENT)
    few = replace(view, run=run, features=(unjudged,), feature=unjudged, rows=None)

    page = str(monitor_page.page(few))

    assert f"{line} (" in page
    assert "0 of 1 feature judged" in page
    assert "judged, no violation" not in page
    assert "This window was not judged." in page


def test_reading_changes_nothing(stores, seeded):
    before = (seeded.engine.url.database, sorted(_files(seeded.root)))

    stores.overview()
    stores.monitor(seeded.monitor, BUG, "carrier")

    assert (seeded.engine.url.database, sorted(_files(seeded.root))) == before


def _files(root):
    from pathlib import Path

    return [(str(file), file.stat().st_mtime_ns) for file in Path(root).rglob("*")]


def test_drift_of_columns_is_what_their_reports_say(stores, seeded):
    view = stores.endpoint(parse("/endpoints/flights/drift"))
    shown = stores.monitor(seeded.monitor, BUG, None)
    place = [one.start for one in view.drift.windows].index(shown.run.window_start)
    by_name = dict(zip(view.drift.features, view.drift.ratios[:, place], strict=True))
    broken = {one.feature_name for one in shown.found.violations}

    for feature in shown.features:
        ratio = by_name.get(feature.feature, np.nan)
        if feature.feature in broken and (feature.ratio or 0) <= 1:
            assert np.isposinf(ratio), "by another check than drift"
        elif feature.judged and feature.ratio is not None:
            assert ratio == pytest.approx(feature.ratio, rel=1e-3)
        else:
            assert np.isnan(ratio), "what was not judged is nothing, never 0"
    # What a check alone has found stands behind what is known to be further out.
    known = np.where(np.isposinf(view.drift.ratios), np.nextafter(1, 2), view.drift.ratios)
    worst = np.nanmax(known, axis=1, initial=-1)  # Never judged: last.
    assert list(worst) == sorted(worst, reverse=True)
    assert "Peak in" in str(endpoint_page.page(view))


def test_an_endpoint_that_is_not_there_is_not_found(stores):
    with pytest.raises(NotFoundError):
        stores.endpoint(parse("/endpoints/none"))
