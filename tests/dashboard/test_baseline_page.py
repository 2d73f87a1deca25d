"""The page of a baseline: its versions, who uses them, and two of them beside each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import plotly.utils
import pytest

from driftline.access.audit import record
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import baseline_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.pages.windows import version_changes
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import MonitorLine, WindowRun
from driftline.monitors.definitions import MonitorDefinition, put_definition
from tests.monitors.kinds.data_quality.test_version_comparison import frame
from tests.servers.postgres import new_sqlite, open_url

NOW = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    root, engine = str(folder / "root"), open_url(new_sqlite(folder))
    other = frame(2).assign(temp=lambda one: one["temp"] + 9)
    first = store.put(root, "flights", Baseline.fit(frame(1)), lambda: NOW)
    store.put(root, "flights", Baseline.fit(other), lambda: NOW, {"data": "/data/other.csv"})
    with engine.begin() as connection:
        for name, pinned in (("daily", False), ("audited", True)):
            definition = MonitorDefinition(
                name, "flights", "flights", baseline_version=first, baseline_pinned=pinned
            )
            put_definition(connection, definition, NOW)
        after = {"version": first}
        record(connection, "promote", "Baseline/flights", NOW, after=after)
    yield Stores(engine, root, lambda: NOW)
    engine.dispose()


def shown(stores, **asked) -> str:
    path, _, query = baseline_link("flights", **asked).partition("?")
    drawn = render(stores, parse(path, query))
    return json.dumps(drawn, cls=plotly.utils.PlotlyJSONEncoder, ensure_ascii=False)


def test_versions_are_listed_with_who_uses_them_and_what_they_are_made_of(stores):
    text = shown(stores)

    assert "baseline with 2 versions; version 1 is in use" in text
    assert "/data/other.csv" in text
    assert text.index("audited") < text.index("pinned")
    assert text.count('"Promote"') == 1
    assert "Came into use" in text


def test_two_versions_are_compared_and_a_column_is_drawn(stores):
    text = shown(stores, reference="1", version="2")
    seats = shown(stores, reference="1", version="2", feature="seats")

    assert "1 column changed: temp" in text
    assert "temp: the first version beside the second" in text
    assert "sd higher" in text
    assert "seats: the first version beside the second" in seats


@pytest.mark.parametrize(
    ("asked", "said"), [({"reference": "1", "version": "9"}, "no version"), ({}, "2 versions")]
)
def test_a_version_that_is_not_there_is_said_on_the_page(stores, asked, said):
    assert said in shown(stores, **asked)


def test_a_baseline_that_is_not_there_is_not_found(stores):
    assert "has no versions" in str(render(stores, parse("/baselines/unheard")))


def test_a_change_of_the_version_is_told_on_the_page_of_the_monitor():
    day = timedelta(days=1)
    runs = [
        WindowRun(NOW + n * day, NOW + (n + 1) * day, str(n), "ok", 1, 0, 0, None,
                  baseline_version=version)
        for n, version in enumerate(("", "old", "", "old", "", "new", ""))  # "": cancelled.
    ]  # fmt: skip
    definition = MonitorDefinition("daily", "flights", "flights", baseline_version="new")

    (told,) = version_changes(MonitorLine(definition, "new", tuple(runs)))

    assert str(told).count("on: version") == 1
    assert "on: version new of " in str(told)
    assert "reference=old&version=new" in str(told)
    assert version_changes(MonitorLine(definition, "old", tuple(runs[:5]))) == []


def test_the_button_has_the_server_promote_a_version():
    sent = []

    def send(method, path, body):
        sent.append((method, path, body))
        return {"monitors": ["daily"]}

    found = Actions(send, lambda: NOW).run("promote", {"baseline": "flights", "version": "2"})

    assert sent == [("POST", "/api/v1/baselines/flights/promote", {"version": "2"})]
    assert found[0] == 200
    assert found[1] == "Version 2 is in use, for 1 monitor, from the next window on."
