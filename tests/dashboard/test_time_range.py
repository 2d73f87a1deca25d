"""One span of time in the address, which every page that shows time obeys."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from driftline.alerts.tables import alarms
from driftline.dashboard.address import ALL, RANGE, TimeRange, parse, read_range
from driftline.dashboard.app import render
from driftline.dashboard.pages import alerts
from driftline.dashboard.queries.alarms import alarms_view
from driftline.dashboard.queries.stores import Stores
from driftline.errors import InputError

NOW = datetime(2013, 11, 23, 3, tzinfo=UTC)
MONITOR = "flights-data-quality"
TWO_DAYS = "?from=2013-11-12&to=2013-11-14"


def page(seeded, path):
    address, _, query = path.partition("?")
    return str(render(Stores(seeded.engine, seeded.root, seeded.now), parse(address, query)))


@pytest.mark.parametrize("asked", [("soon", ""), ("2013-11-14", "2013-11-12"), ("now-7w", "")])
def test_what_is_no_span_is_told_in_a_sentence(seeded, asked):
    with pytest.raises(InputError, match="expected"):
        read_range(*asked, NOW)
    assert "This page cannot be shown" in page(seeded, f"/?from={asked[0]}&to={asked[1]}")
    assert RANGE.get() is ALL


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("path", "inside", "outside"),
    [
        ("/endpoints/flights", "2 windows judged", "14 windows judged"),
        ("/endpoints/flights/drift", "over 2 windows", "over 14 windows"),
        (f"/monitors/{MONITOR}", "2 windows judged", "14 windows judged"),
        (f"/monitors/{MONITOR}/columns/dewp", "Wed 13 Nov 2013", "Fri 22 Nov 2013"),
        ("/endpoints/flights/traffic", "13 Nov 2013 06:00", "22 Nov 2013 06:00"),
        ("/jobs", "Wed 13 Nov 2013", "Fri 22 Nov 2013"),
    ],
)
def test_pages_show_the_windows_of_the_span_alone(seeded, path, inside, outside):
    assert outside in page(seeded, path)

    narrowed = page(seeded, path + TWO_DAYS)

    assert inside in narrowed
    assert outside not in narrowed


@pytest.mark.parametrize("path", [f"/monitors/{MONITOR}", "/endpoints/flights", "/jobs"])
def test_nothing_in_the_span_is_not_told_as_nothing_at_all(seeded, path):
    empty = page(seeded, f"{path}?from=2013-01-01&to=2013-01-02")

    assert "Nothing of this lies in the time that is shown." in empty
    assert "No window has been judged yet" not in empty


def test_lists_of_alerts_hold_what_changed_in_the_span_and_what_fires(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    with seeded.engine.connect() as connection:
        changed = dict(connection.execute(select(alarms.c.name, alarms.c.state_changed_at)).all())
    first, last = min(changed.values()), max(changed.values())
    assert {one.name for one in stores.alarms().shown} == {*changed}

    mark = RANGE.set(TimeRange(None, first))
    before, again = stores.alarms(), stores.alarms(state="ALARM")
    with seeded.engine.connect() as connection:  # Rolled back at its end.
        calm = alarms.c.name == "flights: drift"
        connection.execute(update(alarms).where(calm).values(state="OK"))
        one_calm = alarms_view(connection, seeded.now())
    RANGE.set(TimeRange(last + timedelta(seconds=1), None))
    since = stores.alarms().shown
    RANGE.reset(mark)

    assert {one.state for one in before.shown} == {"ALARM"}
    assert again.shown == before.shown
    assert (before.counts, before.outside) == ({"ALARM": len(changed)}, 0)
    assert (one_calm.counts, one_calm.outside) == ({"ALARM": len(changed) - 1}, 1)
    words = "1 alarm left out: no change in the time that is shown"
    assert words in str(alerts.alarms_page(one_calm))
    assert f"{words}." in str(alerts.alarms_page(replace(one_calm, counts=Counter(), shown=())))
    assert {one.state for one in since} <= {"ALARM"}
    shown = page(seeded, "/messages?to=2013-01-01")
    assert "Nothing of this lies in the time that is shown." in shown
