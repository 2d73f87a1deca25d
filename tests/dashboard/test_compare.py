"""Two sets of rows beside each other, and what workers have printed."""

import json

import numpy as np
import plotly.utils
import pytest

from driftline.dashboard.address import Address, compare_link, parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.explained import read_compared
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.variants import labelled
from driftline.stats.intervals import newcombe

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


@pytest.mark.parametrize("asked", ["yesterday", "1..2", "baseline:99", "20200101T000000Z", ".."])
def test_what_cannot_be_compared_is_said_in_a_sentence(stores, seeded, asked):
    view = compare(stores, seeded.monitor, asked, BUG, None)

    assert view.why_not
    assert "role" in drawn(stores, compare_link(seeded.monitor, asked, BUG))


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
