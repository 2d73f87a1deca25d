"""What the pages of alarms are told and say, against alarms that the evaluator judged itself."""

import json
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import plotly.graph_objects as go
import pytest
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.pool import StaticPool

from driftline.access.audit import DELETE, record
from driftline.alerts import tables
from driftline.alerts.alarms.records import get_alarm, history, list_alarms
from driftline.alerts.evaluation.alarm_timeline import UNKNOWN
from driftline.alerts.evaluation.cause import LastAlarm
from driftline.alerts.evaluation.preview import times_in_alarm
from driftline.alerts.notify.notification_maintenance import forget
from driftline.alerts.tables import outbox
from driftline.dashboard.address import RANGE, TimeRange, link_to, parse
from driftline.dashboard.app import render
from driftline.dashboard.charts.alarm import alarm_figure
from driftline.dashboard.pages import alarm as alarm_page
from driftline.dashboard.pages import alarm_panels, alerts, overview
from driftline.dashboard.queries.alarms import alarms_view
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.words import moment
from driftline.errors import NotFoundError
from driftline.monitors.definitions import delete_definition
from tests.dashboard.measured_seed import ALARM_NAMES, START, WEEK

SLASH, DOTS, HOSTILE, SILENT = ALARM_NAMES


@pytest.fixture
def stores(measured):
    return Stores(measured.engine, measured.root, measured.now)


def test_firing_alarms_stand_first_and_pages_before_tickets(stores):
    shown = stores.alarms().shown

    assert [(line.name, line.state) for line in shown] == [
        (SLASH, "ALARM"),
        (DOTS, "ALARM"),
        (HOSTILE, "ALARM"),
        (SILENT, "INSUFFICIENT_DATA"),
    ]


@pytest.mark.parametrize(
    ("state", "text", "names"),
    [
        ("INSUFFICIENT_DATA", None, [SILENT]),
        (None, "LOST/again", [SLASH]),
        (None, "with a label", [HOSTILE]),
        (None, "flights-quality", [SLASH, DOTS, HOSTILE]),
        ("ALARM", "nothing", []),
    ],
)
def test_list_is_narrowed_by_state_and_text(stores, state, text, names):
    assert [line.name for line in stores.alarms(state, text).shown] == names


def test_counts_of_states_do_not_follow_the_filter(stores):
    assert stores.alarms("OK", "x").counts == {"ALARM": 3, "INSUFFICIENT_DATA": 1}


def test_last_messages_are_those_of_the_newest_change_that_was_told(stores):
    told = {line.name: line.deliveries for line in stores.alarms().shown}

    assert [(line.channel, line.status) for line in told[SLASH]] == [
        ("gone", "dead"),
        ("pager", "delivered"),
    ]
    assert [line.status for line in told[DOTS]] == ["pending"]
    assert told[HOSTILE] == ()


def test_pages_of_the_list_hold_each_alarm_once(stores, measured):
    with measured.engine.connect() as connection:
        pages = [alarms_view(connection, measured.now(), number=at, size=3) for at in (1, 2, 9)]

    assert [[line.name for line in page.shown] for page in pages] == [
        [SLASH, DOTS, HOSTILE], [SILENT], [SILENT],
    ]  # fmt: skip
    text = str(alerts.alarms_page(pages[1]))
    assert "4–4 of 4" in text
    assert "href='/alarms'" in text


def test_a_filter_without_a_match_offers_the_way_back(stores):
    page = str(alerts.alarms_page(stores.alarms(None, "no such thing")))

    assert "No alarm matches this filter." in page
    assert "Show all alarms" in page


def test_without_alarms_the_page_says_how_one_is_made(stores):
    page = str(alerts.alarms_page(replace(stores.alarms(), shown=(), counts=Counter())))

    assert "driftline apply -f alarms.yaml" in page


def test_points_are_the_metric_on_the_grid_of_the_alarm(stores):
    view = stores.alarm(SLASH)

    # Windows 10 to 13 page; the last two wait for labels and have no datapoint.
    assert [point.value for point in view.points] == [0.0] * 10 + [1.0] * 4
    assert [point.breaching for point in view.points] == [False] * 10 + [True] * 4
    assert view.points[0].start == START
    assert all(point.end - point.start == WEEK for point in view.points)


def test_what_decided_is_what_the_evaluator_stored(stores, measured):
    view = stores.alarm(SLASH)

    with measured.engine.connect() as connection:
        record = get_alarm(connection, SLASH)
    stored = json.loads(record.state_reason_data)["evaluatedDatapoints"]
    (decided,) = [point for point in view.points if point.decided]
    assert [decided.value] == [entry["value"] for entry in stored]
    assert decided.start == START + 10 * WEEK
    assert decided.link.startswith("/monitors/flights-quality?window=20130909T000000Z")


def test_states_cover_the_time_shown_without_gap_or_overlap(stores):
    spans = stores.alarm(SLASH).spans

    assert [span.state for span in spans] == ["OK", "ALARM"]
    assert spans[0].start == START
    assert spans[0].end == spans[1].start == START + 10 * WEEK
    assert all(span.end > span.start for span in spans)


@pytest.fixture
def copied(measured):
    """A copy of the measured installation's database, to change."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with sqlite3.connect(measured.engine.url.database) as source, engine.connect() as target:
        source.backup(target.connection.driver_connection)
    yield engine
    engine.dispose()


def test_an_alarm_of_a_deleted_monitor_says_so_and_leads_to_none_of_its_windows(measured, copied):
    stores = Stores(copied, measured.root, measured.now)
    before = stores.alarm(SLASH).alarm
    with copied.begin() as connection:
        delete_definition(connection, before.monitor, measured.now())
        record(connection, DELETE, f"Monitor/{before.monitor}", measured.now())

    view = stores.alarm(SLASH)
    fleet = str(overview.page(stores.overview()))

    assert before.link is not None
    said = f"its monitor was deleted on {moment(measured.now())}; no new datapoints come"
    assert view.alarm.latest == said
    assert said in str(alarm_page.page(view))
    assert [view.alarm.link, view.alarm.latest_link] == [None, None]
    assert said in fleet
    assert "See the rows" not in fleet
    page = str(render(stores, parse(f"/monitors/{before.monitor}", "")))
    runs = link_to("jobs", text=before.monitor)
    assert f'onitor "{before.monitor}" was deleted on {moment(measured.now())}' in page
    assert runs in page
    assert "/jobs/" in str(render(stores, parse(*runs.split("?"))))


def test_states_that_retention_took_are_unknown_and_said(measured, copied):
    engine = copied
    kept = START + 12 * WEEK
    with engine.begin() as connection:
        forget(connection, kept)
        # An alarm that never rests is what still has history.
        line = {"alarm_id": 999, "alarm_name": "x", "type": "StateUpdate", "summary": "x"}
        connection.execute(insert(tables.history).values(time=kept, data={}, **line))
    stores = Stores(engine, measured.root, measured.now)

    view = stores.alarm(SLASH)
    page = str(alarm_page.page(view))
    preview = stores.alarm(SLASH, {"threshold": "0"}).preview

    assert [span.state for span in view.spans] == [UNKNOWN, "ALARM"]
    assert view.spans[0].end == view.alarm.since
    assert view.alarm.cause == "brier_skill: -0.0465 where the reference has 0.08"
    assert view.alarm.latest == "brier_skill: -0.035 where the reference has 0.08"
    assert "its states before that are not kept" in page
    assert times_in_alarm(view.spans) == 1 == preview.declared.fired
    signs = [
        one["text"]
        for one in alarm_figure(view.rule, view.points, view.spans)["layout"]["annotations"]
    ]
    assert signs == ["…", "▲"]


def test_a_preview_is_of_the_time_that_is_shown(stores):
    whole = stores.alarm(SLASH, {"threshold": "0"})
    points = whole.points
    start, end = points[2].start, points[-3].end + timedelta(hours=1)
    mark = RANGE.set(TimeRange(start, end))

    view = stores.alarm(SLASH, {"threshold": "0"})
    RANGE.set(TimeRange(None, points[0].start - timedelta(days=90)))
    none = stores.alarm(SLASH, {"threshold": "0"})
    RANGE.reset(mark)

    shown, same = view.preview, [one for one in whole.preview.changed.spans if one.state == "ALARM"]
    assert (whole.preview.start, whole.preview.end) == (points[0].start, points[-1].end)
    assert (shown.start, shown.end) == (start, points[-3].end)
    within = [one for one in same if one.start < shown.end and one.end > shown.start]
    assert shown.changed.fired == len(within)
    assert {one.start >= shown.start for one in shown.changed.spans} == {True}
    page = str(alarm_page.page(none))
    assert "nothing of this metric lies in the time that is shown" in page.casefold()
    assert none.preview.changed is None


def test_state_over_a_period_is_the_one_after_it(stores, measured):
    for name in (SLASH, DOTS, HOSTILE):
        view = stores.alarm(name)
        assert {point.breaching for point in view.points} == {True, False}, name
        for point in view.points:
            (state,) = {span.state for span in view.spans if span.start <= point.start < span.end}
            assert (state == "ALARM") == point.breaching, (name, point.start)


def test_every_change_in_the_history_is_shown(stores, measured):
    with measured.engine.connect() as connection:
        items = history(connection, SLASH, type="StateUpdate")

    changes = stores.alarm(SLASH).changes

    assert [(change.time, change.new) for change in changes] == [
        (item.time, item.data["newState"]["stateValue"]) for item in items
    ]
    assert changes[0].cause == "brier_skill: -0.0465 where the reference has 0.08"


def test_every_message_is_listed_with_its_fate(stores, measured):
    with measured.engine.connect() as connection:
        count = connection.scalar(
            select(func.count()).select_from(outbox).where(outbox.c.alarm_name == SLASH)
        )

    messages = stores.alarm(SLASH).messages

    assert len(messages) == count == 3
    fates = {one.channel: (one.status, one.last_status, one.attempts) for one in messages}
    assert fates == {
        "gone": ("dead", 410, 1),
        "pager": ("delivered", 204, 1),
        "refuses": ("dead", 503, 10),
    }
    page = str(alarm_page.page(stores.alarm(SLASH)))
    assert "✕ 2 failed" in page
    assert "10 attempts, HTTP 503" in page


def test_channels_tell_how_they_fare_and_never_where_they_lead(stores):
    view = stores.alarm(SLASH)

    health = {one.name: one.health for one in view.channels}

    assert health["pager"] is None
    assert health["gone"] == "receiver answered 410 Gone"
    assert health["refuses"].startswith("failed ")
    page = str(alarm_page.page(view))
    assert "127.0.0.1" not in page
    assert "whsec" not in page


def test_alarm_without_data_names_the_metrics_that_have_some(stores):
    view = stores.alarm(SILENT)

    assert view.points == view.spans == ()
    page = str(alarm_page.page(view))
    assert "No datapoint has arrived" in page
    assert "Similar metrics that have data:" in page
    assert "MonitoringSchedule=flights-quality" in page


def test_alarms_on_the_same_metric_know_each_other(measured, stores):
    with measured.engine.connect() as connection:
        keys = [one.definition.metric_key for one in list_alarms(connection)]

    assert len(set(keys)) == len(keys)
    assert stores.alarm(SLASH).others == ()


def test_of_thousands_of_alarms_on_one_metric_some_are_listed(stores):
    view = stores.alarm(SLASH)
    crowd = tuple(replace(view.alarm, name=f"n{number}") for number in range(3000))

    page = str(alarm_page.page(replace(view, others=crowd)))

    assert "and 2,980 more" in page
    assert "n20'" not in page


def test_unknown_alarm_is_not_found(stores):
    with pytest.raises(NotFoundError):
        stores.alarm("no such alarm")


def test_figure_is_one_that_plotly_takes_and_escapes_names(stores):
    view = stores.alarm(HOSTILE)
    hostile = replace(view, rule=view.rule.model_copy(update={"metric_name": "<b>metric</b>"}))

    figure = alarm_figure(hostile.rule, hostile.points, hostile.spans)

    go.Figure(figure)
    assert "<b>metric" not in str(figure)


def test_points_of_a_figure_name_the_metric_in_words(stores):
    view = stores.alarm(HOSTILE)
    own = view.rule.model_copy(update={"metric_name": "new_tickets"})

    assert "tickets whose cause is new" in str(alarm_figure(own, view.points, view.spans))


def test_threshold_is_drawn_where_it_lies(stores):
    view = stores.alarm(HOSTILE)

    lines = [
        shape
        for shape in alarm_figure(view.rule, view.points, view.spans)["layout"]["shapes"]
        if shape["type"] == "line"
    ]

    assert [(line["y0"], line["y1"]) for line in lines] == [(5_000.0, 5_000.0)]


def test_a_message_sent_days_later_by_another_clock_tells_no_wait(stores):
    view = stores.alarm(SLASH)
    made_at = view.now - timedelta(hours=1)
    by_it = replace(
        view.messages[0], created_at=made_at, finished_at=made_at + timedelta(minutes=9)
    )
    ahead = replace(by_it, finished_at=view.now + timedelta(days=3))

    pages = [str(alarm_page.page(replace(view, messages=(one,)))) for one in (by_it, ahead)]

    assert ["after 9 min" in pages[0], "after 3 d" in pages[1]] == [True, False]


def test_verdict_says_how_long(stores):
    view = replace(stores.alarm(SLASH), now=datetime(2013, 9, 17, 0, 5, tzinfo=UTC))

    assert alarm_panels.verdict(view) == "Firing for 1 d, since 16 Sep 2013 00:05"


def test_why_leads_to_the_window_of_the_cause_and_to_its_rows(seeded):
    view = Stores(seeded.engine, seeded.root, seeded.now).alarm("flights: drift")
    assert view.why.rows.startswith("driftline monitor rows flights-data-quality --window 2013-11-")

    said = json.dumps(alarm_panels.why_panel(view).to_plotly_json(), default=_plain)

    assert json.dumps(view.why.rows) in said
    assert json.dumps(view.why.page) in said


def test_why_says_of_an_alarm_that_has_recovered_when_it_fired_last(seeded):
    view = Stores(seeded.engine, seeded.root, seeded.now).alarm("flights: drift")
    cause = {name: getattr(view.why, name) for name in ("cause", "window", "page", "rows")}
    until = view.now + timedelta(hours=8)
    last = LastAlarm(**cause, since=view.now, until=until)
    quiet = replace(view.why, **dict.fromkeys(cause), state="OK", last_alarm=last)

    panel = alarm_panels.why_panel(replace(view, why=quiet))

    said = json.dumps(panel.to_plotly_json(), default=_plain)
    assert json.dumps(f"{moment(view.now)} to {moment(until)}: {last.cause}") in said
    assert said.count(json.dumps(last.rows)) == 1


def _plain(component):
    return component.to_plotly_json()
