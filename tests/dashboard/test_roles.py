"""What each role sees and may do on the pages; with nobody asked, all of it."""

import json

import plotly.utils
import pytest
from dash import html

from driftline.access.logins import NOTE
from driftline.access.principal import Principal
from driftline.dashboard.address import column_link, monitor_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.stores import Stores
from driftline.errors import UnavailableError
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.guarded import ALARM, act, guarded
from tests.dashboard.test_http import CALL, body_for


@pytest.fixture(scope="module")
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def drawn(stores, address):
    path, _, query = address.partition("?")
    page = render(stores, parse(path, query))
    return json.dumps(page, cls=plotly.utils.PlotlyJSONEncoder)


@pytest.mark.parametrize(
    ("role", "sees"),
    [("viewer", False), ("operator", False), ("analyst", True), ("admin", True), ("anybody", True)],
)
@pytest.mark.parametrize("page", ["monitor", "column"])
def test_rows_and_frequent_values_take_an_analyst(stores, seeded, as_role, page, role, sees):
    view = stores.monitor(seeded.monitor, None, HOSTILE)
    shown = set(view.rows.events)
    link = monitor_link(seeded.monitor, feature=HOSTILE)
    as_role(role)

    text = drawn(stores, link if page == "monitor" else column_link(seeded.monitor, HOSTILE))

    assert shown
    assert any(event in text for event in shown) == sees
    assert ("/rows.csv" in text) == sees
    assert ('"id": "comparison"' in text) == sees
    assert ("This takes the role analyst; ana has" in text) != sees


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_rows_are_not_read_for_who_may_not_see_them(stores, seeded, as_role, role):
    as_role(role)

    monitor = stores.monitor(seeded.monitor, None, HOSTILE)
    column = stores.column(seeded.monitor, HOSTILE, None)

    assert (monitor.rows, monitor.comparison) == (None, None)
    assert (column.rows, column.comparison) == (None, None)


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_rows_on_a_page_are_noted_before_they_are_shown(stores, seeded, as_role, role):
    run = stores.monitor(seeded.monitor, None, HOSTILE).run
    noted = []
    mark = NOTE.set(lambda *one: noted.append(one))
    as_role(role)

    for link in (monitor_link(seeded.monitor, feature=HOSTILE), monitor_link(seeded.monitor)):
        drawn(stores, link)
    NOTE.reset(mark)

    target = f"monitor={seeded.monitor}&window={run.window.stamp}"
    assert set(noted) == ({("show rows", target)} if role == "analyst" else set())


def test_rows_that_cannot_be_noted_are_not_shown(stores, seeded, as_role):
    shown = set(stores.monitor(seeded.monitor, None, HOSTILE).rows.events)

    def refuse(*_):
        raise UnavailableError("the database takes no changes now; try again")

    as_role("analyst")
    mark = NOTE.set(refuse)
    text = drawn(stores, monitor_link(seeded.monitor, feature=HOSTILE))
    NOTE.reset(mark)

    assert not any(event in text for event in shown)
    assert "The database takes no changes now; try again." in text
    assert '"id": "comparison"' in text


def test_a_window_is_noted_once_a_session(site):
    ana = Principal("ana", frozenset({"analyst"}), via="session")
    for secret in ("first", "first", "second"):
        for window in ("1", "2"):
            site.access.note(ana, secret, "show rows", f"monitor=m&window={window}")

    found = [one["target"] for one in site.audit(subject="ana")]
    assert sorted(found) == ["monitor=m&window=1"] * 2 + ["monitor=m&window=2"] * 2


def test_a_page_of_a_session_notes_as_the_person(site, monkeypatch):
    def page(*_):
        NOTE.get()("show rows", "monitor=m&window=3")
        return html.Div()

    monkeypatch.setattr("driftline.dashboard.app.render", page)
    with site.browser(site.token("eva", ["analyst"])) as browser:
        for _ in range(2):
            assert browser.post(CALL, json=body_for("/")).status_code == 200

    assert [one["action"] for one in site.audit(subject="eva")] == ["show rows", "login"]


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator", "admin", "anybody"])
def test_buttons_are_disabled_for_who_may_not_press_them(stores, seeded, as_role, role):
    as_role(role)

    text = drawn(stores, monitor_link(seeded.monitor))

    may = role in ("operator", "admin", "anybody")
    assert ('"disabled": true' in text) != may
    assert (f"This takes the role operator; ana has {role}." in text) != may
    assert '"name": "author"' not in text  # Nobody types who they are.


@pytest.mark.parametrize(
    ("role", "rows", "change"),
    [("viewer", 403, 403), ("analyst", 404, 403), ("operator", 403, 200), ("admin", 404, 200)],
)
def test_calls_past_the_pages_take_the_same_roles(site, role, rows, change):
    with site.browser(site.tokens[role]) as browser:
        for form in ("csv", "parquet"):
            assert browser.get(f"/rows.{form}?monitor=none").status_code == rows
        answer = act(browser, "switch", {"alarm": ALARM, "enabled": "true"})

    assert answer.status_code == change
    reads = [one for one in site.audit(subject=role) if one["action"] == "GET /rows.csv"]
    assert [(one["target"], one["status"]) for one in reads] == [
        ("monitor=none", 403 if rows == 403 else None)
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found
