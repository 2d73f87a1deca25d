"""Alarms, columns, model quality, bias and attribution in a real browser."""

import pytest
from playwright.sync_api import expect

from driftline.dashboard.queries.stores import Stores
from tests.dashboard.accessible import axe_faults
from tests.dashboard.conftest import window_at
from tests.dashboard.measured_seed import ALARM_NAMES

pytestmark = pytest.mark.browser

SLASH, DOTS, HOSTILE, _ = ALARM_NAMES
COLUMN = "/monitors/flights-data-quality/columns/carrier?window=20131118T000000Z"
KINDS = ("/monitors/flights-quality", "/monitors/flights-bias", "/monitors/flights-attribution")


def test_way_from_the_list_over_an_alarm_to_the_window(visit_measured):
    seen = visit_measured()
    page = seen.open("/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Alerts").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Alarms")

    page.get_by_role("link", name=SLASH).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(SLASH)
    expect(page.locator(".verdict")).to_contain_text("Firing for 35 d 2 h")
    page.locator(".verdict").get_by_role("link", name="Open the window").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("flights-quality")
    seen.check()


@pytest.mark.parametrize("name", [SLASH, DOTS, HOSTILE])
def test_any_name_of_an_alarm_has_a_page_that_survives_a_reload(visit_measured, name):
    seen = visit_measured()
    page = seen.open("/alarms")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)

    answer = page.reload()
    seen.drawn()

    assert answer.status == 200
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert page.locator("#page img").count() == 0
    seen.check()


@pytest.mark.parametrize("query", ["", "?from=now-30d", "?from=2013-10-01&to=2013-11-01"])
def test_a_phone_reaches_every_page_of_the_bar(visit_measured, query):
    seen = visit_measured(390)
    page = seen.open(f"/{query}")
    bar = page.get_by_role("navigation", name="Pages").bounding_box()

    for name in ("Fleet", "Alerts", "Jobs", "Setup", "Search", "API"):
        box = page.get_by_role("link", name=name, exact=True).first.bounding_box()
        assert bar["x"] <= box["x"], name
        assert box["x"] + box["width"] <= min(390, bar["x"] + bar["width"]) + 0.5, name
    span = page.locator("#range").bounding_box()
    assert span["x"] + span["width"] <= 390
    assert page.locator("main").bounding_box()["y"] <= 92  # As much as links on a page keep free.
    seen.check()


def test_the_fleet_fits_its_screen_with_the_longest_states(visit_measured):
    seen = visit_measured()
    page = seen.open("/")
    table = page.get_by_role("region", name="Endpoints, worst first")
    longest = "◐ Waiting for labels, window ended 12 d 21 h ago"

    table.locator("tbody td").evaluate_all(
        "(cells, words) => cells.slice(2, 6).forEach(one => {"
        " one.innerHTML = '<a class=\"chip none\"></a>'; one.firstChild.textContent = words; })",
        longest,
    )

    assert table.evaluate("one => one.scrollWidth - one.clientWidth") == 0
    assert table.locator("tbody td").nth(1).bounding_box()["width"] >= 120
    filters = page.locator(".filters").bounding_box()
    assert table.bounding_box()["y"] - filters["y"] - filters["height"] >= 6


def test_on_a_phone_the_runs_name_their_monitors_and_states_whole(visit_measured):
    seen = visit_measured(390)
    page = seen.open("/jobs")
    cut = """cells => cells.filter(one => one.scrollWidth > one.clientWidth)
        .map(one => one.textContent)"""

    for column in ("State", "Monitor"):
        cells = page.locator(f".jobs td[data-head={column}]")
        expect(cells.first).to_be_visible()
        assert cells.evaluate_all(cut) == []
    seen.check()


def test_words_of_a_tile_that_is_worse_within_its_bound_are_dark_enough(measured, visit_measured):
    runs = (
        Stores(measured.engine, measured.root, measured.now)
        .measured("flights-quality", None, None)
        .monitor
    )
    worse = next(run for run in runs.runs if run.shown_state == "worse")
    seen = visit_measured()
    page = seen.open(f"/endpoints/flights/quality?window={worse.stamp}")

    expect(page.locator(".tile.soft").first).to_contain_text("within the bound")
    assert axe_faults(page, every_text=True) == []
    seen.check()


def test_filter_is_part_of_the_address_and_keeps_the_hand(visit_measured):
    seen = visit_measured()
    page = seen.open("/alarms")
    box = page.get_by_label("Filter")
    box.click()

    page.keyboard.type("lost", delay=30)
    expect(page.locator(".alarm-list tbody tr")).to_have_count(1)
    expect(page).to_have_url(seen.address + "/alarms?q=lost")
    page.keyboard.type("/again", delay=30)
    expect(page).to_have_url(seen.address + "/alarms?q=lost%2Fagain")

    expect(box).to_have_value("lost/again")
    expect(box).to_be_focused()
    page.get_by_role("link", name="all 4").click()
    expect(page.get_by_label("Filter")).to_have_value("lost/again")
    seen.check()


def test_states_narrow_the_list_by_keyboard(visit_measured):
    seen = visit_measured()
    page = seen.open("/alarms")

    page.get_by_role("link", name="insufficient data 1").focus()
    page.keyboard.press("Enter")

    expect(page.locator(".alarm-list tbody tr")).to_have_count(1)
    expect(page.get_by_label("State of the alarms").locator("[aria-current]")).to_contain_text(
        "insufficient data"
    )
    seen.check()


def test_click_on_a_column_s_window_opens_it(visit):
    seen = visit()
    page = seen.open(COLUMN)
    expect(page.locator(".verdict")).to_contain_text("unknown values")
    expect(page.locator("#rows tbody tr").first).to_contain_text("EDV")
    x, box = window_at(page, 3 + 0.5, 14)

    page.mouse.click(x, box["y"] + box["height"] / 2)

    page.wait_for_url("**/columns/carrier?window=201311*")
    expect(page.locator("#page details.windows summary")).to_contain_text("12 Nov")
    seen.check()


def test_monitor_leads_to_the_column_over_all_windows(visit):
    seen = visit()
    page = seen.open("/monitors/flights-data-quality?feature=dest")

    page.get_by_role("link", name="This column over all windows").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("dest")
    seen.check()


def test_metric_is_chosen_in_the_table_and_drawn_over_time(visit_measured):
    seen = visit_measured()
    page = seen.open(KINDS[0])
    expect(page.get_by_role("heading", name="Brier skill over all windows")).to_be_visible()

    page.get_by_role("link", name="AUC", exact=True).focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="AUC over all windows")).to_be_visible()
    page.get_by_role("link", name="Earlier window").click()
    expect(page.locator("#page details.windows summary")).to_contain_text("23–29 Sep")
    expect(page.get_by_role("heading", name="AUC over all windows")).to_be_visible()
    seen.check()


def test_a_metric_that_does_not_exist_is_said(visit_measured):
    page = visit_measured().open("/monitors/flights-bias?metric=none")

    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
