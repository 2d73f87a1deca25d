"""Search by name, two sets of rows beside each other, and what workers have printed."""

import json
from dataclasses import replace

import numpy as np
import plotly.utils
import pytest

from driftline.access.principal import CURRENT, Principal
from driftline.dashboard.address import Address, compare_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.pages import explained as explained_page
from driftline.dashboard.queries import search
from driftline.dashboard.queries.explained import read_compared
from driftline.dashboard.queries.search import read_search
from driftline.dashboard.queries.stores import Stores
from driftline.errors import ForbiddenError, NotFoundError
from driftline.monitors.variants import labelled
from driftline.stats.intervals import newcombe
from tests.dashboard.policed_seed import texts

BEFORE, BUG = "20131117T000000Z", "20131118T000000Z"
LINE = {
    "time": "2013-11-22T10:00:00+00:00",
    "variant": "v1",
    "container": "",
    "worker": 7,
    "message": "loaded a",
}


@pytest.fixture
def stores(seeded):
    return Stores(seeded.engine, seeded.root, seeded.now)


def drawn(stores, path: str) -> str:
    asked, _, query = path.partition("?")
    return json.dumps(
        render(stores, parse(asked, query)), cls=plotly.utils.PlotlyJSONEncoder, ensure_ascii=False
    )


def search_for(stores, text: str):
    return read_search(stores, Address("search", text=text))


def compare(stores, monitor, first, second, feature):
    asked = Address("compare", monitor, first=first, second=second, feature=feature)
    return read_compared(stores, asked)


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("AllTraffic", 'Variant "B" has no rows in this time; only "AllTraffic" has.'),
        ("A", 'Variants "A" and "B" have no rows in this time.'),
    ],
)
def test_variants_without_rows_are_named_and_not_compared(stores, seeded, monkeypatch, first, said):
    asked = []
    monkeypatch.setattr(labelled, "compare", lambda *_, **__: asked.append(1))

    view = compare(stores, seeded.monitor, f"variant:{first}", "variant:B", None)

    assert (view.quality, asked) == ((said,), [])


def test_variants_are_compared_before_a_window_was_judged(stores, seeded, monkeypatch):
    line = replace(stores.judged(seeded.monitor, None)[0], runs=())
    monkeypatch.setattr(stores, "line_of", lambda _: line)

    view = compare(stores, seeded.monitor, "variant:AllTraffic", "variant:AllTraffic:2", None)
    same = compare(stores, seeded.monitor, "variant:AllTraffic", "baseline:1", None)

    assert view.titles[0].startswith("variant AllTraffic, ")
    assert view.quality == ('Variant "AllTraffic:2" has no rows in this time; only '
                            '"AllTraffic" has.',)  # fmt: skip
    assert any(one.comparison.reference_rows for one in same.columns)
    with pytest.raises(NotFoundError, match="judged fewer than two windows"):
        compare(stores, seeded.monitor, None, None, None)


def test_a_part_of_a_name_finds_things_of_every_kind(stores, seeded):
    found = {one.kind: one for one in search_for(stores, "FLIGHTS").found}
    columns = [one for one in search_for(stores, "carr").found if one.kind == "column"]

    assert set(found) == {"endpoint", "monitor", "alarm"}
    assert found["endpoint"].link == "/endpoints/flights"
    assert [one.link for one in columns] == [f"/monitors/{seeded.monitor}/columns/carrier"]
    assert "Nothing has this in its name." in drawn(stores, "/search?q=no+such+thing")


def test_of_each_kind_what_is_not_listed_is_counted(stores, monkeypatch):
    whole = search_for(stores, "flights").found
    monkeypatch.setattr(search, "MOST", 1)

    view = search_for(stores, "flights")

    assert sum(one.kind == "alarm" for one in whole) > 1
    assert len(view.found) == 3
    assert view.left == len(whole) - 3


def test_a_search_finds_nothing_out_of_reach(stores):
    mark = CURRENT.set(Principal("ana", via="session", roles=frozenset({"viewer"}),
                                 endpoints=frozenset({"prices"})))  # fmt: skip
    try:
        assert search_for(stores, "flights").found == ()
        assert search_for(stores, "carrier").found == ()
    finally:
        CURRENT.reset(mark)


def test_two_windows_differ_in_what_the_bug_changed_by_counted_shares(stores, seeded):
    view = compare(stores, seeded.monitor, BEFORE, BUG, "carrier")
    one = view.chosen
    day = stores.judged(seeded.monitor, BUG)[1]

    assert one.differs
    assert one.comparison.window_rows == day.row_count
    first, second = (
        (side[one.at] * rows, rows)
        for side, rows in (
            (one.comparison.window, one.comparison.window_rows),
            (one.comparison.reference, one.comparison.reference_rows),
        )
    )
    assert (one.low, one.high) == pytest.approx(newcombe(*first, *second))
    assert one.low > 0 or one.high < 0


def test_variants_are_named_over_their_columns_and_no_change_is_minus_zero(stores, seeded):
    view = compare(stores, seeded.monitor, BEFORE, BUG, None)
    one = replace(view.columns[0], low=-0.0001, high=0.0004)
    same = replace(one.comparison, window=one.comparison.reference - 1e-5)
    pair = replace(one, comparison=same)
    named = replace(view, first="variant:A", second="variant:B", columns=(pair,), chosen=pair)

    page = texts(explained_page.compare_page(named))

    assert "+0.0 points (+0.0 to +0.0)" in page
    assert "-0.0" not in page
    assert "First" not in page.split("What differs")[1]
    assert page.split("What differs")[1].count("Variant B") >= 2


def test_variants_named_as_the_limits_of_an_interval_hide_no_share(stores, seeded):
    view = compare(stores, seeded.monitor, BEFORE, BUG, None)
    named = replace(view, first="variant:low", second="variant:high")

    page = texts(explained_page.compare_page(named)).split("What differs")[1]

    assert page.count("Variant low") == page.count("Variant high") >= 2
    assert "Values Variant low Variant high Low High" in " ".join(page.split())


def test_a_set_beside_itself_does_not_differ(stores, seeded):
    view = compare(stores, seeded.monitor, BUG, BUG, None)

    assert not any(one.differs for one in view.columns)
    assert all(one.effect == 0 for one in view.columns)


def test_a_version_and_a_period_are_counted_on_the_same_cells(stores, seeded):
    view = compare(stores, seeded.monitor, "baseline:1", "2013-11-09..2013-11-16", "dewp")
    baseline = stores.storage.baseline_of(view.monitor)

    assert view.titles[0].endswith("version 1")
    assert view.chosen.comparison.reference_rows == baseline.profile.row_count
    assert np.isclose(view.chosen.comparison.window.sum(), 1.0)


def test_the_range_of_the_bar_is_a_period_beside_the_one_before(stores, seeded):
    asked = f"/compare?monitor={seeded.monitor}&from=2013-11-16&to=2013-11-18"
    page = drawn(stores, asked)
    period = "2013-11-16T00:00:00Z..2013-11-18T00:00:00Z"

    assert "15 Nov 2013 beside 16" in page
    assert compare_link(seeded.monitor, period, period) in page
    assert "choose one by Range" in drawn(stores, compare_link(seeded.monitor))


@pytest.mark.parametrize("asked", ["yesterday", "1..2", "baseline:99", "20200101T000000Z", ".."])
def test_what_cannot_be_compared_is_said_in_a_sentence(stores, seeded, asked):
    view = compare(stores, seeded.monitor, asked, BUG, None)

    assert view.why_not
    assert "role" in drawn(stores, compare_link(seeded.monitor, asked, BUG))


def test_a_period_that_ends_before_it_begins_is_told_as_it_was_asked(stores, seeded):
    asked = "2013-11-16..2013-11-09"

    assert compare(stores, seeded.monitor, asked, BUG, None).why_not == (
        f'period "{asked}" does not end after its start; expected the earlier time first, such as '
        "2013-11-01..2013-12-01: exchange the two"
    )


def test_sets_that_are_named_need_one_window_alone(stores, seeded, monkeypatch):
    """As two variants, whose first window is often a week."""
    line, run = stores.judged(seeded.monitor, BUG)
    monkeypatch.setattr(stores, "line_of", lambda _: replace(line, runs=(run,)))

    assert compare(stores, seeded.monitor, "baseline:1", BUG, None).columns
    with pytest.raises(NotFoundError, match="fewer than two windows"):
        compare(stores, seeded.monitor, None, None, None)


def test_rows_that_a_script_made_are_not_kept_to_be_compared(stores, seeded, monkeypatch):
    line = stores.line_of(seeded.monitor)
    made = replace(line, definition=replace(line.definition, preprocess="made.py"))
    monkeypatch.setattr(stores, "line_of", lambda _: made)

    assert "a script makes" in compare(stores, seeded.monitor, BEFORE, BUG, None).why_not


def test_many_rows_of_one_set_leave_the_other_its_own_time(stores, seeded, monkeypatch):
    monkeypatch.setattr("driftline.dashboard.queries.explained.SIDE_S", -1.0)
    view = compare(stores, seeded.monitor, "baseline:1", BUG, None)

    assert view.is_cut
    assert not view.columns


def test_lines_that_workers_printed_are_asked_of_the_server(seeded):
    asked = []

    def ask(path):
        asked.append(path)
        return json.dumps({"items": [LINE, LINE | {"message": "other"}]})

    page = drawn(
        Stores(seeded.engine, seeded.root, seeded.now, ask=ask), "/endpoints/flights/logs?q=LOAD"
    )

    assert asked == ["/api/v1/logs?endpoint=flights&limit=200"]
    assert "loaded a" in page
    assert "other" not in page


def test_what_the_server_refuses_is_said_in_its_words(seeded):
    def ask(path):
        raise ForbiddenError("this takes the role analyst")

    page = drawn(Stores(seeded.engine, seeded.root, seeded.now, ask=ask), "/endpoints/flights/logs")

    assert "This takes the role analyst." in page
