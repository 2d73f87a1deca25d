"""Explaining a selection without a browser: to whom, of what rows, and whatever is asked."""

from dataclasses import replace
from random import Random
from urllib.parse import urlencode

import pytest

from driftline.access.logins import NOTE
from driftline.access.principal import CURRENT, Principal
from driftline.dashboard.address import Address, explain_link, parse
from driftline.dashboard.app import _draw
from driftline.dashboard.pages import explained as explained_page
from driftline.dashboard.pages import window as window_page
from driftline.dashboard.queries import explained
from driftline.dashboard.queries.explained import WINDOWS_BEFORE, read_explained, read_window
from driftline.dashboard.queries.stores import Stores
from driftline.errors import NotFoundError
from tests.dashboard.policed_seed import texts

STAMP = "20131118T000000Z"


@pytest.fixture(scope="module")
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def drawn(stores, link):
    path, _, query = link.partition("?")
    return texts(_draw(stores, parse(path, query))[0])


def test_a_whole_window_is_compared_with_those_before(stores, seeded):
    view = read_explained(stores, Address("explain", seeded.monitor, window=STAMP))
    rows = stores.judged(seeded.monitor, STAMP)[1].row_count

    assert len(view.before) == WINDOWS_BEFORE
    assert view.found.selected_count == rows
    assert view.found.row_count > 4 * rows


def test_reading_is_noted_first_and_takes_an_analyst(stores, seeded):
    noted, link = [], explain_link(seeded.monitor, window=STAMP, where="origin=EWR")
    marks = [NOTE.set(lambda *one: noted.append(one))]
    try:
        who = Principal("ana", frozenset({"viewer"}), via="session")
        mark = CURRENT.set(who)
        refused = drawn(stores, link)
        CURRENT.reset(mark)
        shown = drawn(stores, link)
    finally:
        NOTE.reset(marks[0])

    assert "This takes the role analyst; ana has viewer." in refused
    assert "What differs" in shown
    assert noted == [("show rows", f"monitor={seeded.monitor}&window={STAMP}&where=origin%3DEWR")]


def test_outputs_that_follow_from_the_selection_are_marked(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now, seeded.signature_of)
    asked = Address("explain", seeded.monitor, window=STAMP, where="origin=EWR")
    view = read_explained(stores, asked)
    one = replace(view.found.columns[0], follows=True)

    page = explained_page.page(replace(view, found=replace(view.found, columns=(one,))))

    assert "follows from the selection" in texts(page)
    assert f",follows from the selection,{one.effect}" in str(page)


def test_a_time_that_is_over_is_told(stores, seeded, monkeypatch):
    monkeypatch.setattr(explained, "LIMIT_S", -1.0)

    text = drawn(stores, explain_link(seeded.monitor, window=STAMP, where="origin=EWR"))

    assert "only the rows that could be read in" in text


def test_no_query_string_breaks_the_page(stores, seeded, monkeypatch):
    monkeypatch.setattr(explained, "LIMIT_S", 0.02)
    random = Random(7)
    values = (STAMP, "20131117T000000Z", "origin=EWR", "origin=", "dest!=ATL;origin=EWR", "x>1",
              "distance>=1e400", "distance<nan", "%", "a=b=c", "\x00=1", "origin=" + "A" * 900,
              "'--", "<b>", "\u202e=1", "")  # fmt: skip

    for _ in range(100):
        names = random.sample(("window", "where", "feature"), random.randint(0, 3))
        query = urlencode({name: random.choice(values) for name in names})
        text = drawn(stores, f"/monitors/{seeded.monitor}/explain?{query}")
        assert "A fault of the dashboard" not in text, query
        assert "cannot be read now" not in text, query


def test_a_window_that_is_not_there_is_not_explained(stores, seeded):
    with pytest.raises(NotFoundError, match="has no window"):
        read_explained(stores, Address("explain", seeded.monitor, window="20010101T000000Z"))


def test_rows_that_were_deleted_since_are_told_from_rows_that_meet_no_condition(stores):
    path = "/endpoints/flights/windows/20131118T000000Z/rows"
    view = read_window(stores, parse(path))
    gone = replace(view, total=0, rows=replace(view.rows, rows=()))

    def said(where=""):
        return texts(window_page.page(replace(gone, rows=replace(gone.rows, where=where))))

    assert "No captured row is left of this window." in said()
    assert "No row meets the conditions." in said("temp>=900")
