"""Each page for people of one endpoint: theirs as ever, and of others not a word."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args, get_type_hints
from urllib.parse import quote

import pandas as pd
import plotly.utils
import pytest
import yaml
from sqlalchemy import insert

from driftline.access.principal import CURRENT, Principal
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import delete_alarm, put_alarm
from driftline.alerts.evaluation.states import set_state
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.dashboard.address import (
    Address,
    column_link,
    explain_link,
    monitor_link,
    parse,
)
from driftline.dashboard.app import _is_there, _shell, render
from driftline.dashboard.downloads import Downloads
from driftline.dashboard.pages.endpoint import _set_up
from driftline.dashboard.queries import reach
from driftline.dashboard.queries.fleet import EndpointView
from driftline.dashboard.queries.stores import UNDECLARED, Stores
from driftline.dashboard.queries.views import EndpointLine
from driftline.dashboard.words import age
from driftline.database.clock import database_time
from driftline.errors import NotFoundError
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.annotations.store import put_annotation
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import Execution, record
from driftline.monitors.tables import runs
from driftline.serving.resources.resources import parse_resources
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.policed_seed import BROKEN, DRIFTS, LATENCY
from tests.dashboard.seed import make_engine

ALARM = "flights: broken input"
MONITOR = "flights-data-quality"
# path → whether it is a page for people of some endpoints.
PAGES = {
    "/": True,
    "/endpoints/flights": True,
    "/endpoints/flights/drift": True,
    "/endpoints/flights/quality": True,
    "/endpoints/flights/fairness": True,
    "/endpoints/flights/attribution": True,
    "/endpoints/flights/traffic": True,
    "/endpoints/flights/changes": True,
    "/endpoints/flights/logs": True,
    "/endpoints/flights/windows/20131118T000000Z": True,
    "/endpoints/flights/windows/20131118T000000Z/rows?where=carrier%3DEDV": True,
    "/alarms": True,
    f"/alarms/{quote(ALARM)}": True,
    f"{monitor_link(MONITOR)}": True,
    f"{monitor_link(MONITOR, feature=HOSTILE)}": True,
    f"{column_link(MONITOR, HOSTILE)}": True,
    f"{explain_link(MONITOR, window='20131118T000000Z')}": True,
    "/jobs": True,
    "/jobs?view=schedules": True,
    "/messages": False,
    "/silences": False,
    "/audit": False,
    "/baselines/flights": False,
    "/setup": False,
    "/setup/channels": False,
    "/setup/settings": False,
    "/setup/tokens": False,
}


NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)
MOVED = MonitorDefinition("moved", endpoint="flights", baseline="b")


@pytest.fixture(scope="module")
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


@contextmanager
def asking(endpoint: str, role: str = "analyst") -> Iterator[None]:
    """Ask as somebody who is for one endpoint."""
    who = Principal("ana", frozenset({role}), frozenset({endpoint}), via="session")
    mark = CURRENT.set(who)
    try:
        yield
    finally:
        CURRENT.reset(mark)


def drawn(stores: Stores, path: str) -> str:
    asked, _, query = path.partition("?")
    return json.dumps(render(stores, parse(asked, query)), cls=plotly.utils.PlotlyJSONEncoder)


def test_every_page_is_in_the_table():
    kinds = set(get_args(get_type_hints(Address)["page"]))

    named = {parse(*path.partition("?")[::2]).page for path in PAGES}
    assert kinds - {"job", "missing"} == named


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator", "admin"])
@pytest.mark.parametrize(("path", "is_theirs"), PAGES.items())
def test_people_of_another_endpoint_read_no_word_of_it(stores, path, is_theirs, role):
    with asking("prices", role):
        text, shell = drawn(stores, path), json.dumps(_shell(), cls=plotly.utils.PlotlyJSONEncoder)
        is_there = _is_there(stores, *path.partition("?")[::2])
    # What they asked for by its name is said again, and nothing else.
    for asked in (ALARM, MONITOR, "flights"):
        text = text.replace(f'\\"{asked}\\"', "")

    assert "flights" not in (text + shell).lower()
    assert HOSTILE.partition(" ")[0] not in text
    is_list = path in ("/", "/alarms") or path.startswith("/jobs")
    assert is_there == (is_list or not is_theirs)
    if not is_theirs:
        assert "ana is for prices only, and this page is about all endpoints" in text


@pytest.mark.parametrize(("path", "is_theirs"), PAGES.items())
def test_people_of_an_endpoint_have_its_pages(stores, path, is_theirs):
    with asking("flights"):
        text = drawn(stores, path)

    assert ("this page is about all endpoints" in text) != is_theirs
    assert "cannot be shown" not in text
    assert "is not there" not in text
    if is_theirs and path != "/alarms":
        assert "flights" in text


def test_their_lists_are_those_of_everybody(stores):
    everything = stores.overview()
    with asking("flights"):
        theirs = stores.overview()
        shown = stores.monitor(MONITOR, None, HOSTILE)
    with asking("prices"):
        others = stores.overview()

    assert [one.name for one in theirs.monitors] == [one.name for one in everything.monitors]
    assert [one.name for one in theirs.alarms.shown] == [
        one.name for one in everything.alarms.shown
    ]
    assert [one.name for one in theirs.endpoints] == ["flights"]
    assert shown.rows is not None
    assert (others.monitors, others.alarms.shown, others.endpoints) == ((), (), ())
    # Messages are about all endpoints, also where theirs alone were sent.
    assert theirs.dead_count == 0


def test_files_of_rows_are_theirs_alone(stores):
    query = {"monitor": MONITOR, "feature": HOSTILE}
    files = Downloads(None, stores)

    with asking("flights"):
        assert next(files._open(query, "csv"))
    with asking("prices"), pytest.raises(NotFoundError) as unknown:
        files._open(query, "csv")
    with asking("prices"), pytest.raises(NotFoundError) as never:
        files._open(query | {"monitor": "never"}, "csv")

    assert str(unknown.value) == str(never.value).replace("never", MONITOR)


def test_alarms_of_several_metrics_or_others_are_not_theirs(policed_site):
    stores = Stores(policed_site.engine, policed_site.root, policed_site.now)
    with asking("flights"):
        lines = stores.alarms()
        text = drawn(stores, f"/alarms/{quote(DRIFTS[0])}")

        for name in (BROKEN, LATENCY):
            with pytest.raises(NotFoundError, match="among those of your endpoints"):
                stores.alarm(name)

    assert {one.name for one in lines.shown} == set(DRIFTS)
    assert lines.shown[0].quiet == ("silenced until 1 Jan 2099 00:00",)
    assert "roll-out" not in text
    assert reach.UNTOLD in text


def test_nobody_reaches_what_names_no_endpoint():
    assert reach.is_reached("")
    with asking("flights"):
        assert not reach.is_reached("")
        assert reach.is_reached("Flights")
        assert reach.refused_page("a page that is made one day")


@pytest.fixture
def engine(tmp_path):
    found = make_engine(tmp_path / "driftline.db")
    yield found
    found.dispose()


def drift(endpoint: str) -> AlarmDefinition:
    return AlarmDefinition(
        alarm_name="drift", namespace="Driftline", metric_name="violations", statistic="Maximum",
        dimensions={"Endpoint": endpoint}, period=86_400, evaluation_periods=1, threshold=0.0,
        comparison_operator="GreaterThanThreshold",
    )  # fmt: skip


def judge(engine, day: int, endpoint: str, **said: object) -> None:
    """Record a window that failed."""
    window = Window(NOW + day * DAY, NOW + (day + 1) * DAY)
    record(engine, Execution(
        id=f"{endpoint} {day}", monitor="moved", kind="data-quality", endpoint=endpoint,
        definition_version=1, baseline="b", baseline_version=endpoint, window_start=window.start,
        window_end=window.end, digest="", started_at=NOW, finished_at=NOW, **said,
    ), [], before=None)  # fmt: skip
    with engine.begin() as connection:
        who = f"lee of {endpoint}"
        put_annotation(connection, Annotation("moved", window, "expected", "a sale", who, NOW))


def test_a_monitor_that_moved_shows_them_the_windows_of_theirs(engine, tmp_path):
    with engine.begin() as connection:
        moment = database_time(connection)
        put_definition(connection, MOVED, moment - 2 * DAY)
        connection.execute(insert(runs).values(
            monitor="moved", window_start=NOW, window_end=NOW + DAY, owner="o", rows_read=7,
            stage="reading of flights", log=[], started_at=moment, seen_at=moment,
        ))  # fmt: skip
    # What is said of flights reaches a window of prices.
    judge(engine, 0, "flights", failure_reason="no rows of flights", cause="temp")
    judge(engine, 1, "flights", failure_reason="no rows of flights", cause="temp")
    with engine.begin() as connection:
        put_definition(connection, replace(MOVED, endpoint="prices"), moment + DAY)
    stores = Stores(engine, str(tmp_path), lambda: NOW + 4 * DAY)
    with asking("prices"):
        before = stores.monitor("moved", None, None)
        judge(engine, 2, "Prices", failure_reason="no rows of prices")
        overview, after = stores.overview(), stores.monitor("moved", None, None)
        text = "".join(drawn(stores, path) for path in ("/", monitor_link("moved")))
        with pytest.raises(NotFoundError, match="has no window"):
            stores.monitor("moved", f"{NOW:%Y%m%dT%H%M%SZ}", None)
    everything = stores.monitor("moved", None, None)

    assert (before.run, before.monitor.runs, before.monitor.begun) == (None, (), ())
    assert [one.start for one in after.monitor.runs] == [NOW + 2 * DAY]
    assert [one.runs for one in overview.monitors] == [after.monitor.runs]
    assert [one.author for one in after.annotations] == ["lee of Prices"]
    assert "no rows of prices" in text
    assert "flights" not in text
    assert len(everything.monitor.runs) == 3
    assert len(everything.monitor.begun) == 1


def test_an_endpoint_that_is_declared_alone_is_on_the_fleet_and_leads_to_its_set_up(
    engine, tmp_path
):
    tags = {"tier": "gold", "cost-centre": "4711"}
    named = {"fresh": ("trained", NOW - DAY, "crm team", tags), "bare": UNDECLARED}
    stores = Stores(engine, str(tmp_path), lambda: NOW, declared=lambda: named)

    fleet = drawn(stores, "/")
    assert f'"dateTime": "{NOW - DAY:%Y-%m-%dT%H:%M:%SZ}"' in fleet  # Its last deployment.
    assert all(f'"/endpoints/fresh/{tab}"' in fleet for tab in ("drift", "quality", "fairness"))
    assert "baseline: trained" in drawn(stores, "/endpoints/fresh/drift")
    assert "baseline: NAME" in drawn(stores, "/endpoints/bare/drift")
    assert "crm team" in fleet
    head = drawn(stores, "/endpoints/fresh")
    assert all(one in head for one in ("owner crm team", "tier=gold", "cost-centre=4711"))
    for text in ("CRM", "gold", "cost-centre=4711"):
        assert [one.name for one in stores.overview(text=text).shown] == ["fresh"]
    with asking("bare"):
        assert [one.name for one in stores.overview().endpoints] == ["bare"]
        assert "Not found" in drawn(stores, "/endpoints/fresh")


def test_the_set_up_says_what_the_baseline_lacks_in_place_of_what_can_never_judge(engine, tmp_path):
    rows = pd.DataFrame({"late": [0, 1] * 20, "said": [0, 1, 1, 1] * 10, "age": range(40)})
    made = Baseline.fit(rows, label="late", prediction="said", positive=1)
    store.put(str(tmp_path), "trained", made, lambda: NOW)
    named = {"fresh": ("trained", NOW, None, {})}
    stores = Stores(engine, str(tmp_path), lambda: NOW, declared=lambda: named)

    fairness, quality = (
        drawn(stores, f"/endpoints/fresh/{tab}") for tab in ("fairness", "quality")
    )

    # In the words of `driftline deploy`.
    assert "Not monitored: bias: the reference needs groups to compare and answers" in fairness
    assert "a facet, and a label or a prediction in the spec of the baseline" in fairness
    assert '"/baselines/trained"' in fairness
    assert "kind: Monitor" not in fairness
    assert "kind: Monitor" in quality
    assert "start: 2026-10-21T00:00Z" in quality  # 30 days ago: what is captured is judged.


@pytest.mark.parametrize("kind", ["data-quality", "model-quality", "bias", "attribution"])
@pytest.mark.parametrize("name", ["e", "e" * 63, "e" * 51 + "--" + "e" * 10])
def test_the_set_up_s_resource_is_one_that_apply_takes(engine, tmp_path, name, kind):
    stores = Stores(engine, str(tmp_path), lambda: NOW, declared=lambda: {name: UNDECLARED})
    line = EndpointLine(name)
    view = EndpointView(NOW, line, "", stores.overview().alarms, baseline="b")

    text = next(one for one in _walk(_set_up(view, "Bias", kind)) if "kind: Monitor" in one)

    (resource,) = parse_resources([yaml.safe_load(text)])
    assert resource.name.endswith(kind)
    assert resource.spec.start == datetime(2026, 10, 21, tzinfo=UTC)


def _walk(part):
    if isinstance(part, str):
        yield part
    children = getattr(part, "children", None)
    for one in children if isinstance(children, list | tuple) else [children] * bool(children):
        yield from _walk(one)


def test_what_a_monitor_waits_for_has_no_name_where_it_is_of_others(engine, tmp_path):
    others = ("flights-launch", "flights-model", "prices-load")
    with engine.begin() as connection:
        for name, endpoint in zip(others, ("flights", "flights", "prices"), strict=True):
            put_definition(connection, replace(MOVED, name=name, endpoint=endpoint), NOW)
        put_definition(connection, replace(MOVED, endpoint="prices", depends_on=others), NOW)
    stores = Stores(engine, str(tmp_path), lambda: NOW + 4 * DAY)
    for day, name in enumerate((*others, "gone")):
        why = f'not run: monitor "{name}" has Failed for a day; backfill it, then this one'
        judge(engine, day, "prices", failure_reason=why)

    with asking("prices"):
        newest = stores.overview().monitors[0].last
        line = stores.monitor("moved", None, None).monitor
        text = "".join(drawn(stores, path) for path in ("/", monitor_link("moved")))
    everything = stores.monitor("moved", None, None).monitor

    assert "flights" not in text
    assert "after another monitor, prices-load" in text
    # As old as its run, which ended before its window here, not as its window.
    assert f"Failed, {age(NOW, stores.now())}" in text
    assert newest.failure == line.runs[-1].failure
    assert [run.failure.partition(" has")[0] for run in line.runs] == [
        "not run: another monitor",
        "not run: another monitor",
        'not run: monitor "prices-load"',
        "not run: another monitor",
    ]
    assert everything.definition.depends_on == others
    assert 'monitor "flights-launch"' in everything.runs[0].failure


def test_an_alarm_tells_nothing_of_what_it_was(engine, tmp_path):
    with engine.begin() as connection:
        put_alarm(connection, drift("flights"), NOW)
        set_state(connection, "drift", "ALARM", "of the first", NOW)
        delete_alarm(connection, "drift", NOW)
        put_alarm(connection, drift("flights"), NOW)
        set_state(connection, "drift", "ALARM", "7 flights", NOW)
        put_alarm(connection, drift("prices"), NOW + DAY)
    stores = Stores(engine, str(tmp_path), lambda: NOW + 2 * DAY)
    everything = stores.alarm("drift")
    with asking("prices"):
        before, line = stores.alarm("drift"), stores.alarms().shown[0]
        text = "".join(drawn(stores, path) for path in ("/", "/alarms", "/alarms/drift"))
        with engine.begin() as connection:
            set_state(connection, "drift", "OK", "of prices", NOW + 2 * DAY)
        after = stores.alarm("drift")

    # One that was deleted is another alarm, to everybody.
    assert [one.reason for one in everything.changes] == ["7 flights"]
    assert (before.changes, before.why.reason) == ((), reach.CHANGED)
    assert (line.reason, line.state) == (reach.CHANGED, "ALARM")
    assert "flights" not in text
    assert [one.reason for one in after.changes] == ["of prices"]
    assert (after.why.reason, after.why.last_alarm) == ("of prices", None)
