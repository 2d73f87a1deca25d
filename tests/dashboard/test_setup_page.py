"""The set-up: baselines with what their bounds would have done, channels, settings, tokens."""

import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import plotly.utils
import pytest
from sqlalchemy import delete

from driftline.access.principal import Principal
from driftline.baseline import store
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import Address, baseline_link, monitor_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.queries import storage
from driftline.dashboard.queries.setup import _tried, read_baseline
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.backtest.backtest import backtest_captured
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.definitions import MonitorDefinition, get_definition, put_definition
from driftline.monitors.run.bound_words import suggested_bounds
from driftline.monitors.tables import definitions
from tests.dashboard.policed_seed import texts
from tests.dashboard.seed import make_engine
from tests.dashboard.test_search_and_compare import drawn
from tests.monitors.kinds.data_quality.test_version_comparison import frame

TABS = {"": "viewer", "channels": "viewer", "settings": "operator", "tokens": "admin"}


@pytest.fixture(scope="module")
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def said(stores, address):
    path, _, query = address.partition("?")
    return texts(render(stores, parse(path, query)))


@pytest.mark.parametrize(
    ("tab", "empty"),
    [
        ("", "No baseline is stored yet. Deploying a model with a reference makes one."),
        ("channels", "No notification channel is configured"),
        ("channels", "driftline init DATA --channel URL"),
        ("settings", "This dashboard was started without settings."),
        ("tokens", "No token has been made yet."),
    ],
)
def test_an_empty_installation_says_what_to_do_on_each_tab(tmp_path, tab, empty):
    engine = make_engine(tmp_path / "driftline.db")
    stores = Stores(engine, str(tmp_path), lambda: None)

    assert empty in said(stores, f"/setup/{tab}".rstrip("/"))
    engine.dispose()


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator", "admin"])
@pytest.mark.parametrize(("tab", "takes"), TABS.items())
def test_each_tab_is_for_its_role_and_is_offered_to_it_alone(stores, as_role, tab, takes, role):
    may = Principal("ana", frozenset({role})).may(takes)
    as_role(role)

    text = json.dumps(render(stores, parse(f"/setup/{tab}")), cls=plotly.utils.PlotlyJSONEncoder)
    offered = json.dumps(render(stores, parse("/setup")), cls=plotly.utils.PlotlyJSONEncoder)

    assert (f"This takes the role {takes}; ana has {role}" in text) != may
    assert (f'"href": "{f"/setup/{tab}".rstrip("/")}"' in offered) == may


def test_baselines_are_listed_with_their_versions_and_users(stores, seeded):
    text = said(stores, "/setup")

    assert "flights 1 " in text
    assert seeded.monitor in text
    assert "No baseline has this name." in said(stores, "/setup?q=nothing")


def test_bounds_are_those_of_the_document(stores, seeded):
    """The independent source is constraints.json, as `store` wrote it."""
    (version,) = store.list_versions(seeded.root, "flights")
    baseline = store.get(seeded.root, "flights", version.version)
    document = json.loads(baseline.constraints.to_json())
    late = next(one for one in document["features"] if one["name"] == "late")

    bounds = set(suggested_bounds(baseline, shows_values=True))

    assert round(late["completeness"], 3) == 0.964
    assert ("late", "a value in at least 96.4% of rows; never below 0") in bounds
    full = "a value in every row"
    assert ("distance", f"{full}; never below 0") in bounds
    assert ("dewp", full) in bounds
    assert ("origin", f"{full}; one of 3 values: EWR, JFK, LGA") in bounds


def test_values_of_columns_take_an_analyst(stores, as_role):
    as_role("viewer")
    text = said(stores, baseline_link("flights"))

    assert "one of 3 values" in text
    assert "EWR" not in text
    assert "What these would have done:" in text
    assert "This takes the role operator; ana has viewer" in text


def test_bounds_of_model_quality_are_listed_too(tmp_path):
    data = frame(1).assign(label=lambda one: one["temp"] > 10, prediction=True)
    baseline = store.Baseline.fit(data, label="label", prediction="prediction")
    text = baseline.documents[store.QUALITY_CONSTRAINTS]
    line = json.loads(text)["binary_classification_constraints"]["accuracy"]

    bounds = dict(suggested_bounds(baseline, shows_values=True))

    assert line["comparison_operator"] == "LessThanThreshold"
    assert bounds["accuracy"] == f"at least {line['threshold']:.3g}"
    assert "true positive rate" in bounds


def test_a_version_is_tried_on_the_last_days_as_a_backtest_does(stores, seeded):
    """The independent source is `backtest_captured`, called as the server calls it."""
    with seeded.engine.connect() as connection:
        definition = get_definition(connection, seeded.monitor)
    baseline = store.get(seeded.root, "flights")
    end = seeded.now().replace(minute=0)
    asked = BacktestOptions(start=end - timedelta(days=30), end=end)
    found = backtest_captured(seeded.root, definition, baseline, baseline.signature, asked)
    (worst, several), *_ = found.alarms_by_column.items()

    text = said(stores, baseline_link("flights", monitor=seeded.monitor))

    assert len(found.alarms) > 1
    judged = len(found.verdicts) - found.insufficient_count
    alarms = len(found.alarms)
    words = f"{seeded.monitor} would have judged {judged} windows, {alarms} with drift or gaps"
    assert f"{words}: {worst} {several}, " in text
    newest, link = found.alarms[-1], monitor_link(seeded.monitor, window="20131122T000000Z")
    assert f"{newest.start:%Y%m%dT%H%M%SZ}" == "20131122T000000Z"
    assert f"Fri 22 Nov 2013 : {', '.join(one.column for one in newest.alarms)}" in text
    assert link in drawn(stores, baseline_link("flights", monitor=seeded.monitor))


def test_columns_that_are_judged_in_no_window_are_told_of_a_trial(stores, seeded, monkeypatch):
    tried = storage.Storage.backtest

    def vague(*given):
        found = tried(*given)
        verdicts = [replace(one, state="undecidable", judged=frozenset(), alarms=())
                    for one in found.verdicts]  # fmt: skip
        return replace(found, verdicts=(*verdicts,))

    monkeypatch.setattr(storage.Storage, "backtest", vague)
    _tried.cache_clear()
    text = said(stores, baseline_link("flights", monitor=seeded.monitor))

    assert f"{seeded.monitor} would have judged 0 windows, none with drift or gaps" in text
    assert " windows every column varied too much to judge." in text
    assert "dest" in text.partition(": judged in no window.")[0].rpartition(".")[2]


def test_monitors_whose_windows_cannot_be_replayed_are_not_offered(stores, seeded):
    def offered():
        view = read_baseline(stores, Address("baseline", baseline="flights"))
        return [one.name for one in view.monitors]

    before = offered()
    with seeded.engine.begin() as connection:
        for more in ({"kind": "model-quality"}, {"compat": True}, {"preprocess": "made.py"}):
            name = f"not-{next(iter(more))}"
            made = MonitorDefinition(name, "flights", "flights", **more)
            put_definition(connection, made, seeded.now())
    try:
        assert seeded.monitor in before
        assert offered() == before
    finally:
        with seeded.engine.begin() as connection:
            connection.execute(delete(definitions).where(definitions.c.name.like("not-%")))


def test_too_many_rows_for_a_page_are_said_with_the_command(stores, seeded, monkeypatch):
    _tried.cache_clear()
    monkeypatch.setattr(storage, "TRIED_S", -1.0)

    text = said(stores, baseline_link("flights", monitor=seeded.monitor))

    assert f"run: driftline monitor backtest {seeded.monitor} --from 2013-10-24" in text
    _tried.cache_clear()


@pytest.mark.parametrize(
    ("monitor", "why"), [("nothing", 'onitor "nothing" '), ("other", "by another baseline")]
)
def test_a_monitor_that_cannot_be_tried_is_said(stores, seeded, monkeypatch, monitor, why):
    other = SimpleNamespace(baseline="other")
    if monitor == "other":
        monkeypatch.setattr("driftline.dashboard.queries.setup.get_definition",
                            lambda *_: other)  # fmt: skip
    asked = Address("baseline", baseline="flights", monitor=monitor)
    view = read_baseline(stores, asked)

    assert why in view.trial


def test_settings_are_narrowed_by_name_and_meaning(seeded):
    settings = [
        {"section": "server", "key": "port", "value": 8080, "source": "default", "about": "Port."},
        {
            "section": "storage",
            "key": "root",
            "value": "s3://x",
            "source": "flag",
            "about": "Where.",
        },
    ]
    stores = Stores(seeded.engine, seeded.root, seeded.now, settings=settings)

    everything, one = said(stores, "/setup/settings"), said(stores, "/setup/settings?q=WHERE")

    assert "server.port 8080 default Port." in everything
    assert "storage.root" in one
    assert "server.port" not in one
    assert "No setting says this." in said(stores, "/setup/settings?q=nothing")


@pytest.mark.parametrize(
    ("action", "given", "asked", "words"),
    [
        ("enable", {"channel": "gone"}, ("POST", "/api/v1/channels/gone/enable"), "is enabled."),
        ("revoke", {"token": "shop"}, ("DELETE", "/api/v1/tokens/shop"), "is revoked;"),
    ],
)
def test_buttons_are_calls_of_the_server(action, given, asked, words):
    sent = []
    actions = Actions(lambda method, path, body: sent.append((method, path)) or {}, lambda: None)

    status, answer = actions.run(action, given)

    assert (status, sent) == (200, [asked])
    assert words in answer
