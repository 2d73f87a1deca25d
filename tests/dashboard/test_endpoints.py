"""Each page for people of one endpoint: theirs as ever, and of others not a word."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args, get_type_hints
from urllib.parse import quote

import plotly.utils
import pytest

from driftline.access.principal import CURRENT, Principal
from driftline.dashboard.address import Address, column_link, monitor_link, parse
from driftline.dashboard.app import _is_there, _shell, render
from driftline.dashboard.downloads import Downloads
from driftline.dashboard.queries import reach
from driftline.dashboard.queries.stores import Stores
from driftline.errors import NotFoundError
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.policed_seed import BROKEN, DRIFTS, LATENCY

ALARM = "flights: broken input"
MONITOR = "flights-data-quality"
# path → whether it is a page for people of some endpoints.
PAGES = {
    "/": True,
    "/alarms": True,
    f"/alarms/{quote(ALARM)}": True,
    f"{monitor_link(MONITOR)}": True,
    f"{monitor_link(MONITOR, feature=HOSTILE)}": True,
    f"{column_link(MONITOR, HOSTILE)}": True,
    "/incidents": False,
    "/messages": False,
    "/silences": False,
    "/audit": False,
    "/baselines/flights": False,
}


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
    assert kinds - {"incident", "missing"} == named


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator", "admin"])
@pytest.mark.parametrize(("path", "is_theirs"), PAGES.items())
def test_people_of_another_endpoint_read_no_word_of_it(stores, path, is_theirs, role):
    with asking("prices", role):
        text, shell = drawn(stores, path), json.dumps(_shell(), cls=plotly.utils.PlotlyJSONEncoder)
        is_there = _is_there(stores, parse(*path.partition("?")[::2]))
    # What they asked for by its name is said again, and nothing else.
    for asked in (ALARM, MONITOR):
        text = text.replace(f'\\"{asked}\\"', "")

    assert "flights" not in (text + shell).lower()
    assert HOSTILE.partition(" ")[0] not in text
    assert is_there == (path in ("/", "/alarms") or not is_theirs)
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
    assert [one.name for one in theirs.alarms] == [one.name for one in everything.alarms]
    assert [one.name for one in theirs.endpoints] == ["flights"]
    assert shown.rows is not None
    assert (others.monitors, others.alarms, others.endpoints) == ((), (), ())
    # Messages are about all endpoints, also where theirs alone were sent.
    assert everything.deliveries
    assert (theirs.deliveries, theirs.dead_count) == ((), 0)


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

    assert {one.name for one in lines.alarms} == set(DRIFTS)
    assert lines.incidents == ()
    assert lines.alarms[0].quiet == ("silenced until 1 Jan 2099 00:00",)
    assert "roll-out" not in text
    assert reach.UNTOLD in text


def test_nobody_reaches_what_names_no_endpoint():
    assert reach.is_reached("")
    with asking("flights"):
        assert not reach.is_reached("")
        assert reach.is_reached("Flights")
        assert reach.refused_page("a page that is made one day")
