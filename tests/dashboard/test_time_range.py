"""One span of time in the address, which every page that shows time obeys."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select, update

from driftline.alerts.tables import alarms
from driftline.dashboard.address import ALL, RANGE, TimeRange, parse, read_range
from driftline.dashboard.app import render
from driftline.dashboard.pages import alerts
from driftline.dashboard.queries import fleet
from driftline.dashboard.queries.alarms import alarms_view
from driftline.dashboard.queries.stores import Stores
from driftline.errors import InputError
from tests.dashboard.conftest import Visit

NOW = datetime(2013, 11, 23, 3, tzinfo=UTC)
MONITOR = "flights-data-quality"
TWO_DAYS = "?from=2013-11-12&to=2013-11-14"


def page(seeded, path):
    address, _, query = path.partition("?")
    return str(render(Stores(seeded.engine, seeded.root, seeded.now), parse(address, query)))


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("", "", None, None),
        ("now-24h", "", NOW - timedelta(hours=24), None),
        ("now-7d", "now", NOW - timedelta(days=7), NOW),
        ("2013-11-12", "2013-11-13T06:00:00Z", datetime(2013, 11, 12, tzinfo=UTC),
         datetime(2013, 11, 13, 6, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_span_is_told_by_how_long_ago_or_by_its_ends(start, end, first, last):
    assert read_range(start, end, NOW) == TimeRange(first, last)


@pytest.mark.parametrize("asked", [("soon", ""), ("2013-11-14", "2013-11-12"), ("now-7w", "")])
def test_what_is_no_span_is_told_in_a_sentence(seeded, asked):
    with pytest.raises(InputError, match="expected"):
        read_range(*asked, NOW)
    assert "This page cannot be shown" in page(seeded, f"/?from={asked[0]}&to={asked[1]}")
    assert RANGE.get() is ALL


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


def test_a_window_that_is_asked_for_is_shown_beside_those_of_the_span(seeded):
    shown = page(seeded, f"/monitors/{MONITOR}{TWO_DAYS}&window=20131118T000000Z")

    assert "shown: Mon 18 Nov 2013" in shown


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


def test_the_strip_of_requests_on_the_fleet_is_of_the_span(seeded):
    assert "requests in the newest window" in page(seeded, "/")
    assert "requests in the newest window" not in page(seeded, "/?to=2013-01-01")


def test_a_backfill_is_of_the_span_as_well(seeded):
    asked = f"/jobs?view=schedules&monitor={MONITOR}&from=now-7d&to=now"

    assert "with a result already" in page(seeded, asked)
    assert fleet.RANGE.get() is ALL


@pytest.mark.browser
def test_the_span_is_chosen_in_the_bar_and_goes_along(visit):
    seen: Visit = visit()
    shown = seen.open("/endpoints/flights")
    choice = shown.locator("#range")
    choice.press("Enter")
    shown.get_by_role("link", name="Last 7 days").press("Enter")
    shown.wait_for_url("**/endpoints/flights?from=now-7d")
    shown.get_by_text("windows judged").first.wait_for()
    assert choice.inner_text() == "Range: Last 7 days"
    shown.get_by_role("link", name="Jobs", exact=True).click()
    shown.wait_for_url("**/jobs?from=now-7d")
    choice.click()
    shown.get_by_role("button", name="Copy a link").click()
    # The installation's own clock, to which the page is true.
    shown.wait_for_url("**/jobs?from=2013-11-16T03%3A00%3A00Z&to=2013-11-23T03%3A00%3A00Z")
    shown.locator("#said", has_text="fixed").wait_for()
    seen.check()


@pytest.mark.browser
def test_a_span_that_is_none_leads_back_to_all_that_is_kept(visit, caplog):
    seen = visit()
    page = seen.open("/alarms?from=2026-13-99")

    expect(page.locator("h1")).to_have_text("This page cannot be shown")
    page.get_by_role("link", name="Show all that is kept").click()

    expect(page.locator("h1")).to_have_text("Alarms")
    assert page.url == seen.address + "/alarms"
    assert "Traceback" not in caplog.text
    seen.check()
