"""What each role sees and may do on the pages; with nobody asked, all of it."""

import json

import plotly.utils
import pytest

from driftline.access.principal import ANYBODY, CURRENT, Principal
from driftline.dashboard.address import column_link, monitor_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.guarded import ALARM, act, guarded


@pytest.fixture(scope="module")
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


@pytest.fixture
def as_role():
    marks = []

    def be(role):
        who = ANYBODY if role == "anybody" else Principal("ana", frozenset({role}), via="session")
        marks.append(CURRENT.set(who))

    yield be
    for mark in reversed(marks):
        CURRENT.reset(mark)


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


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator", "admin", "anybody"])
def test_buttons_are_disabled_for_who_may_not_press_them(stores, seeded, as_role, role):
    as_role(role)

    text = drawn(stores, monitor_link(seeded.monitor))

    may = role in ("operator", "admin", "anybody")
    assert ('"disabled": true' in text) != may
    assert (f"This takes the role operator; ana has {role}." in text) != may
    assert ('"name": "author"' in text) == (role == "anybody")


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
    assert [one["target"] for one in reads] == ["monitor=none"] * (rows == 404)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found
