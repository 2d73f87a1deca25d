"""What the pages are told, against the installation that the rooms themselves made."""

import json
import shutil
import sqlite3
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.pool import StaticPool

from driftline.alerts.tables import outbox
from driftline.capture.audit.report import Coverage
from driftline.dashboard.address import parse
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.pages import monitor as monitor_page
from driftline.dashboard.pages import overview as overview_page
from driftline.dashboard.queries.stores import Stores
from driftline.errors import NotFoundError
from driftline.monitors.definitions import get_definition, put_definition
from driftline.monitors.executions import Execution, record
from driftline.monitors.results.unjudged import unjudged_columns, unjudged_sentence
from driftline.monitors.run.report_document import Feature
from driftline.monitors.tables import executions

BUG = "20131118T000000Z"


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def test_overview_counts_what_the_tables_hold(stores, seeded):
    view = stores.overview()

    with seeded.engine.connect() as connection:
        windows = connection.scalar(select(func.count()).select_from(executions))
        rows = connection.scalar(select(func.sum(executions.c.row_count)))
        dead = select(func.count()).select_from(outbox).where(outbox.c.status == "dead")
        failed = connection.scalar(dead)
    assert len(view.monitors[0].runs) == windows
    stats = stores.endpoint(parse("/endpoints/flights/traffic")).stats
    assert stats.rows == rows
    assert view.shown[0].coverage == stats.overall
    assert view.dead_count == failed


def test_firing_alarm_tells_since_when_why_and_where(stores):
    page = stores.overview().alarms.shown[0]

    assert (page.name, page.severity) == ("flights: broken input", "page")
    assert page.since == datetime(2013, 11, 19, 0, 5, tzinfo=UTC)
    assert "EDV" in page.cause
    window = "/monitors/flights-data-quality?window="
    assert page.link.startswith(f"{window}20131118T000000Z&feature=")
    assert page.latest_link.startswith(f"{window}20131122T000000Z&feature=")
    assert page.link.endswith("#rows")


def test_newest_window_and_worst_feature_are_shown_first(stores, seeded):
    view = stores.monitor(seeded.monitor, None, None)

    assert view.run.stamp == "20131122T000000Z"
    assert view.feature == view.features[0]
    assert sum(line.share_of_blame for line in view.violating) == pytest.approx(1.0)


def test_guilty_rows_are_those_of_the_planted_carrier(stores, seeded):
    rows = stores.monitor(seeded.monitor, BUG, "carrier").rows

    assert set(rows.offending) == {"EDV"}
    assert len(rows.events) == min(50, rows.total)
    assert len(rows.columns) <= 12  # As many as a page of 3,000 nodes has room for.
    assert all(len(record) == len(rows.columns) for record in rows.records)
    assert len({rows.feature, "event_id", "event_time", *rows.columns}) <= 20
    assert all(time.startswith("18 Nov 2013") for time in rows.times)


def test_guilty_rows_say_what_was_answered_and_what_came_true(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now, seeded.signature_of)

    rows = stores.monitor(seeded.monitor, BUG, "carrier").rows

    assert rows.columns[:3] == ("guess", "chance", "late")
    guesses, chances, labels = zip(*(one[:3] for one in rows.records), strict=True)
    # Of a flight that was cancelled no label comes.
    assert ({*guesses}, {*labels}) == ({"0", "1"}, {"0", "1", ""})
    assert [f"{0.1 + 0.8 * int(one or 0):g}" for one in labels] == list(chances)


@pytest.mark.parametrize("feature", ["carrier", "hour", "dewp", "precip"])
def test_comparison_counts_all_rows_of_both_sides(stores, seeded, feature):
    view = stores.monitor(seeded.monitor, BUG, feature)

    found = view.comparison

    assert found.window_rows == view.run.row_count
    assert found.reference.sum() == pytest.approx(1.0)
    assert found.window.sum() == pytest.approx(1.0)
    assert np.any(found.moved)
    assert len(found.labels) <= 26


def test_marked_bars_hold_the_shares_of_the_verdict(stores, seeded):
    view = stores.monitor(seeded.monitor, BUG, "carrier")

    marked = view.comparison.moved

    assert view.comparison.window[marked].sum() == pytest.approx(view.feature.share_window)


@pytest.mark.parametrize(
    ("window", "feature"), [("20990101T000000Z", None), ("x", None), (None, "no such feature")]
)
def test_unknown_window_or_feature_is_not_found(stores, seeded, window, feature):
    with pytest.raises(NotFoundError):
        stores.monitor(seeded.monitor, window, feature)


def test_a_part_of_a_window_that_was_run_by_hand_does_not_hide_the_whole(seeded, tmp_path):
    engine = _copied(seeded.engine, tmp_path)
    with engine.begin() as connection:
        whole = connection.execute(
            select(executions).where(
                executions.c.window_start == datetime(2013, 11, 18, tzinfo=UTC)
            )
        ).one()
        part = {
            **whole._mapping,
            "id": "by-hand",
            "window_end": whole.window_start + timedelta(hours=12),
            "finished_at": whole.finished_at + timedelta(days=9),
        }
        connection.execute(insert(executions).values(part))

    run = Stores(engine, seeded.root, seeded.now).monitor(seeded.monitor, BUG, None).run

    engine.dispose()
    assert (run.execution, run.end) == (whole.id, datetime(2013, 11, 19, tzinfo=UTC))


def test_a_link_to_a_window_lives_as_long_as_its_execution(seeded, tmp_path):
    engine = _copied(seeded.engine, tmp_path)
    with engine.begin() as connection:
        first = connection.execute(select(executions).order_by(executions.c.window_start)).first()
        starts = [first.window_start - timedelta(days=day) for day in range(1, 451)]
        older = [
            {**first._mapping, "id": f"{start:%Y%m%d}", "window_start": start,
             "window_end": start + timedelta(days=1)}
            for start in starts
        ]  # fmt: skip
        connection.execute(insert(executions), older)
    stores = Stores(engine, seeded.root, seeded.now)

    views = [stores.monitor(seeded.monitor, f"{starts[at]:%Y%m%dT%H%M%SZ}", None)
             for at in (385, 420, 449)]  # fmt: skip
    runs = [view.monitor.runs for view in views]

    engine.dispose()
    assert [view.run.execution for view in views] == [
        f"{starts[at]:%Y%m%d}" for at in (385, 420, 449)
    ]
    for view, around in zip(views, runs, strict=True):
        place = [one.stamp for one in around].index(view.run.stamp)
        later = around[place + 1]
        assert later.start == view.run.start + timedelta(days=1)
        assert place == 0 or around[place - 1].start == view.run.start - timedelta(days=1)
    assert runs[2][0].stamp == views[2].run.stamp
    page = str(monitor_page.page(views[1]))
    assert "Newest windows" in page


def _copied(engine, folder):
    """Return a database of its own with the same rows."""
    with sqlite3.connect(engine.url.database) as old, sqlite3.connect(folder / "copy.db") as new:
        old.backup(new)
    old.close()
    new.close()
    return create_engine(f"sqlite:///{folder / 'copy.db'}")


def test_every_part_of_the_page_tells_the_same_violation(stores, seeded):
    view = stores.monitor(seeded.monitor, BUG, None)
    feature, rows = view.feature, view.rows
    page = monitor_page.page(view)

    assert feature.checks == ("unit_change_check",)
    assert rows.phrase == feature.violations[0].phrase != feature.set
    assert f"Highlighted: {rows.phrase}, unit changed." in str(page)
    assert f"Changed most: {feature.set}" not in str(page)
    assert "by check: unit changed" in str(page)
    found = view.comparison
    # The marked bars hold all the rows that are listed, and at most a cell's rest more.
    share = rows.total / view.run.row_count
    assert share <= found.window[found.moved].sum() + 1e-9


def test_a_share_of_several_windows_is_not_said_of_one(stores, seeded):
    view = stores.monitor(seeded.monitor, BUG, "dest")
    of = replace(view.feature, violations=(), set="below 14", share_reference=0.003,
                 share_window=0.286, share_low=0.26, share_high=0.31)  # fmt: skip

    def said(**counts):
        one = replace(of, **counts)
        return str(monitor_page.page(replace(view, feature=one, features=(one,), rows=None)))

    alone, together = said(window_count=1), said(window_count=3, share_alone=0.0)
    assert "below 14, 28.6% of the window, 0.3% of the reference (95% interval of it" in alone
    assert "below 14, 0% of the window, 0.3% of the reference; judged together" in together
    assert "28.6% of the last 3 windows (95% interval 26.0% to 31.0%)" in together
    for words in ("0.3% → 0%", "28.6% of the last 3 windows"):
        assert words in together
    # What earlier versions wrote leaves open whose rows they were.
    assert "28.6% of the rows that were judged" in said(window_count=None)


def test_banner_and_table_count_violations_and_features_alike(stores, seeded):
    view = stores.monitor(seeded.monitor, BUG, None)

    text = str(monitor_page.page(view))

    count = view.run.violation_count
    assert text.count(f"{count} violations in {len(view.violating)} of ") >= 2


@pytest.mark.parametrize(("keep", "shown"), [("dest", "dest"), ("no such feature", None)])
def test_chosen_feature_stays_where_the_window_has_it(stores, seeded, keep, shown):
    view = stores.monitor(seeded.monitor, BUG, None, keep)

    assert view.feature.feature == (shown or view.features[0].feature)
    assert f"keep={keep.replace(' ', '+')}" in str(monitor_page.page(view))


def judged_with(seeded, row_count):
    """Show the window of the bug as if so many rows had been judged."""
    day = datetime(2013, 11, 18, tzinfo=UTC)
    database = create_engine("sqlite://", poolclass=StaticPool)
    with sqlite3.connect(seeded.engine.url.database) as source, database.connect() as target:
        source.backup(target.connection.driver_connection)
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


def test_rows_that_came_after_the_verdict_are_said(seeded):
    view = judged_with(seeded, 645)

    (note,) = view.notes
    assert note.startswith("Judged were 645 rows; the window holds ")
    assert f"driftline monitor run {seeded.monitor} --from 2013-11-18T00:00:00Z" in note
    assert " now (645 judged)" in str(monitor_page.page(view))


def test_a_past_window_is_compared_with_the_one_before_it(stores, seeded):
    page = str(monitor_page.page(stores.monitor(seeded.monitor, BUG, None)))

    assert f"/compare?monitor={seeded.monitor}&a=20131117T000000Z&b={BUG}" in page


def test_what_a_window_did_to_alarms_is_marked_or_said_not_to_be(stores, seeded):
    own = stores.monitor(seeded.monitor, BUG, None)
    calm = stores.monitor(seeded.monitor, "20131112T000000Z", None)

    assert own.changes[0].is_own
    assert "this window changed no alarm's state" not in str(monitor_page.page(own))
    assert not any(one.is_own for one in calm.changes)
    assert "this window changed no alarm's state" in str(monitor_page.page(calm))


def test_changes_of_alarms_tell_their_causes(stores, seeded):
    changes = stores.monitor(seeded.monitor, None, None).changes

    firing = [change for change in changes if change.new == "ALARM"]

    order = [(not change.is_own, -change.time.timestamp()) for change in changes]
    assert order == sorted(order)
    assert firing
    assert all(change.cause and change.link for change in firing)


def test_rows_that_are_no_longer_kept_are_said_to_be_gone(stores, seeded, tmp_path):
    root = tmp_path / "store"
    shutil.copytree(seeded.root, root)
    shutil.rmtree(root / "capture")
    bare = Stores(seeded.engine, str(root), seeded.now)

    view = bare.monitor(seeded.monitor, BUG, "carrier")

    assert view.rows.events == ()
    assert "have been deleted" in str(monitor_page.page(view))


def test_a_column_is_drawn_from_its_own_summary_and_no_other(stores, seeded, tmp_path):
    # Of a thousand columns all others took 0.4 s of a core, for the sake of one.
    root = tmp_path / "store"
    shutil.copytree(seeded.root, root)
    for name in ("statistics.json", "sample.arrow", "rows.json"):
        for file in (root / "baselines").glob(f"*/*/{name}"):
            file.write_text("damaged")

    view = Stores(seeded.engine, str(root), seeded.now).monitor(seeded.monitor, BUG, "carrier")

    assert view.notes == ()
    assert repr(view.comparison) == repr(stores.monitor(seeded.monitor, BUG, "carrier").comparison)
    assert view.rows == stores.monitor(seeded.monitor, BUG, "carrier").rows


def test_documents_that_are_gone_leave_the_verdict(stores, seeded, tmp_path):
    bare = Stores(seeded.engine, str(tmp_path), seeded.now)

    view = bare.monitor(seeded.monitor, BUG, None)

    assert view.features == ()
    assert "EDV" in view.cause
    assert "EDV" in str(monitor_page.page(view))
    said = monitor_page.verdict(view, replace(view.run, violation_count=0))
    assert said.startswith("No violation, but this window's documents have been deleted (")


def test_captured_rows_are_not_shown_for_those_that_a_script_made(stores, seeded, tmp_path):
    root = tmp_path / "store"
    shutil.copytree(seeded.root, root)
    for file in (root / "executions" / seeded.monitor / BUG).glob("*/report.json"):
        report = json.loads(file.read_text())
        file.write_text(json.dumps({**report, "details": {"preprocess": "<rows>.py"}}))

    view = Stores(seeded.engine, str(root), seeded.now).monitor(seeded.monitor, BUG, "carrier")

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


def test_a_condition_that_cannot_be_read_leaves_the_rest_of_the_page(seeded, tmp_path):
    root = tmp_path / "store"
    shutil.copytree(seeded.root, root)
    for file in (root / "executions" / seeded.monitor / BUG).glob("*/report.json"):
        report = json.loads(file.read_text())
        for violation in report["violations"]:
            violation["predicate"] = {"op": "zz"}
        file.write_text(json.dumps(report))

    view = Stores(seeded.engine, str(root), seeded.now).monitor(seeded.monitor, BUG, "carrier")

    assert view.feature.feature == "carrier"
    assert view.notes


def test_before_the_first_window_nothing_is_said_to_be_right(stores):
    view = stores.overview()
    waiting = tuple(replace(monitor, runs=()) for monitor in view.monitors)

    assert overview_page.word_of_monitors(waiting, 0) == (
        "No window has been judged yet",
        "none",
    )


@pytest.mark.parametrize("state", ["insufficient", "unlabelled"])
def test_where_no_monitor_could_judge_nothing_is_said_to_be_right(stores, state):
    view = stores.overview()
    first, *others = view.monitors
    runs = (replace(first.runs[-1], state=state),)
    monitors = (replace(first, runs=runs), *(replace(monitor, runs=()) for monitor in others))

    assert overview_page.word_of_monitors(monitors, 0) == (
        "No monitor could judge its newest window",
        "none",
    )


def test_a_window_of_too_few_rows_is_not_said_to_hold_no_violations(stores, seeded):
    view = stores.monitor(seeded.monitor, None, None)
    run = replace(view.run, state="insufficient", violation_count=0)
    unjudged = Feature("carrier", "string", note="insufficient_data")
    few = replace(view, run=run, features=(unjudged,), feature=unjudged, rows=None)

    page = str(monitor_page.page(few))

    assert "0 of 1 feature judged" in page
    assert "no violation" not in page
    assert "This window was not judged." in page


def test_a_window_says_on_top_what_could_not_be_judged_and_what_would_help(stores, seeded):
    view = stores.monitor(seeded.monitor, None, None)
    run = replace(view.run, state="ok", violation_count=0)
    calm = Feature("carrier", distance=0.1, bound=0.2)
    days = "11 more days of reference"
    slow = Feature("temp", distance=0.1, note="undecidable", remedy=days)
    some = replace(view, run=run, features=(calm, slow), feature=calm, rows=None, annotations=())

    page = str(monitor_page.page(some))

    assert "No violations: 1 of 2 features judged" in page
    assert f"Drift of temp could not be judged (the reference varies too much: {days})" in page


def test_a_window_says_what_an_earlier_one_told_and_what_would_end_it(stores, seeded):
    view = stores.monitor(seeded.monitor, None, None)
    first = datetime(2026, 5, 18, tzinfo=UTC)
    known = [replace(one, first_window=first) for one in view.found.violations]
    lasting = replace(view, report=replace(view.found, violations=tuple(known)))

    page = str(monitor_page.page(lasting))

    assert f"Not new: {known[0].feature_name} since 18 May" in page
    assert "annotate it as the new normal" in page
    news = [replace(one, first_window=None) for one in known]
    fresh = replace(view, report=replace(view.found, violations=tuple(news)))
    assert "Not new" not in str(monitor_page.page(fresh))
    both = replace(view, report=replace(view.found, violations=(news[0], known[0])))
    assert "Not new" not in str(monitor_page.page(both)), "the feature has news"


def test_a_window_says_what_could_not_be_judged_once(stores, seeded):
    view = stores.monitor(seeded.monitor, None, None)
    slow = Feature("temp", distance=0.1, note="undecidable")
    words = unjudged_sentence(unjudged_columns([slow]))
    told = replace(view, features=(slow,), report=replace(view.found, cause=f"1 row; {words}"))

    page = str(monitor_page.page(told))

    assert page.lower().count(words.lower()) == 1


def test_messages_that_were_given_up_are_counted_and_led_to(stores):
    page = str(overview_page.page(replace(stores.overview(), dead_count=2)))

    assert "✕ 2 notifications failed" in page
    assert "/messages?status=dead" in page


def test_verdict_says_what_is_wrong_worst_first(stores):
    view = stores.overview()

    assert "2 alarms are firing, 1 of them paging" in str(overview_page.page(view))
    assert overview_page.word_of_monitors(view.monitors, 0) == (
        "1 monitor found violations; no alarm is firing",
        "soft",
    )
    assert overview_page.word_of_monitors((), 0)[0] == "Nothing is monitored yet"


def test_reading_changes_nothing(stores, seeded):
    before = (seeded.engine.url.database, sorted(_files(seeded.root)))

    stores.overview()
    stores.monitor(seeded.monitor, BUG, "carrier")

    assert (seeded.engine.url.database, sorted(_files(seeded.root))) == before


def _files(root):
    from pathlib import Path

    return [(str(file), file.stat().st_mtime_ns) for file in Path(root).rglob("*")]


def test_endpoints_are_narrowed_by_text_and_state(stores):
    assert [line.name for line in stores.overview("LIGHTS-data").shown] == ["flights"]
    assert stores.overview("nothing of it").shown == ()
    assert [line.name for line in stores.overview(None, "violations").shown] == ["flights"]
    assert "No endpoint matches" in str(overview_page.page(stores.overview(None, "ok")))


def test_drift_of_columns_is_what_their_reports_say(stores, seeded):
    view = stores.endpoint(parse("/endpoints/flights/drift"))
    shown = stores.monitor(seeded.monitor, BUG, None)
    place = [one.start for one in view.drift.windows].index(shown.run.start)
    by_name = dict(zip(view.drift.features, view.drift.ratios[:, place], strict=True))
    report = stores.storage.report(shown.run.folder)
    broken = {one.feature_name for one in report.violations}

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


def test_drift_opens_on_a_monitor_that_judges_and_tells_of_failures(seeded, tmp_path):
    engine = _copied(seeded.engine, tmp_path)
    with engine.begin() as connection:
        row = connection.execute(select(executions).order_by(executions.c.window_start)).all()[-1]
        broken = replace(get_definition(connection, seeded.monitor), name="a-broken")
        put_definition(connection, broken, seeded.now())
    known = {one.name: row._mapping[one.name] for one in fields(Execution)}
    why = {"status": "Failed", "failure_reason": "no such column", "violation_count": 0}
    record(engine, Execution(**{**known, "id": "x", "monitor": "a-broken", **why}), [], before=None)
    stores = Stores(engine, seeded.root, seeded.now)

    opened = stores.endpoint(parse("/endpoints/flights/drift"))
    asked = stores.endpoint(parse("/endpoints/flights/drift", "monitor=a-broken"))

    engine.dispose()
    assert [one.name for one in opened.others] == ["a-broken", seeded.monitor]
    assert opened.monitor.name == seeded.monitor
    page = str(endpoint_page.page(asked))
    assert "No window with drift by column: 1 of 1 window failed." in page
    assert f"/monitors/a-broken?window={asked.monitor.last.stamp}" in page


def test_a_state_is_kept_in_place_of_what_it_was_when_a_window_is_judged_again(seeded, tmp_path):
    engine = _copied(seeded.engine, tmp_path)
    with engine.begin() as connection:
        row = connection.execute(select(executions).order_by(executions.c.window_start)).all()[-1]
    known = {one.name: row._mapping[one.name] for one in fields(Execution)}
    again = Execution(**{**known, "id": "again", "violation_count": 0, "status": "Completed"})

    record(engine, again, [], before=row.id)

    (line,) = Stores(engine, seeded.root, seeded.now).overview().monitors
    engine.dispose()
    assert [run.execution for run in line.runs].count("again") == 1
    assert (len(line.runs), line.state, line.last.execution) == (14, "ok", "again")


@pytest.mark.parametrize("hours", [(6, 12), (12, 6)], ids=["the longer", "the shorter"])
def test_of_two_parts_that_were_run_by_hand_all_pages_show_the_one_judged_last(
    seeded, tmp_path, hours
):
    engine = _copied(seeded.engine, tmp_path)
    with engine.begin() as connection:
        row = connection.execute(select(executions).order_by(executions.c.window_start)).all()[-1]
    known = {one.name: row._mapping[one.name] for one in fields(Execution)}
    start = row.window_start + timedelta(days=1)
    for at, length in enumerate(hours):
        part = Execution(**{
            **known, "id": f"part {length}", "window_start": start,
            "window_end": start + timedelta(hours=length),
            "finished_at": row.finished_at + timedelta(days=1, minutes=at),
        })  # fmt: skip
        record(engine, part, [], before=None)
    stores = Stores(engine, seeded.root, seeded.now)

    (line,) = stores.overview().monitors
    run = stores.monitor(seeded.monitor, None, None).run

    engine.dispose()
    assert line.last.execution == run.execution == f"part {hours[1]}"


def test_an_endpoint_that_is_not_there_is_not_found(stores):
    with pytest.raises(NotFoundError):
        stores.endpoint(parse("/endpoints/none"))
