"""The way of a person with a pager: overview, monitor, rows, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import window_at

pytestmark = pytest.mark.browser

MONITOR = "/monitors/flights-data-quality"


@pytest.mark.full
def test_click_on_a_window_opens_it(visit):
    seen = visit()
    page = seen.open(MONITOR)
    x, box = window_at(page, 9 + 0.9, 14)

    # Off the marks, near a border of the window, between the panels.
    page.mouse.click(x, box["y"] + 0.68 * box["height"])

    page.wait_for_url("**window=2013*")
    expect(page.locator("#page details.windows summary")).to_contain_text("18 Nov")
    seen.check()


def test_a_cell_of_the_heat_map_opens_its_window(visit):
    seen = visit()
    page = seen.open("/endpoints/flights")
    page.get_by_role("link", name="Drift", exact=True).click()
    expect(page.get_by_role("heading", name="Drift of columns")).to_be_visible()
    box = page.locator("#timeline .nsewdrag").first.bounding_box()

    # The column that lies furthest beyond its bound is the first one: the last window.
    page.mouse.click(box["x"] + 0.97 * box["width"], box["y"] + 8)

    page.wait_for_url("**/monitors/flights-data-quality?window=20131122*feature=carrier*")
    heading = page.get_by_role("heading", name=re.compile("carrier.*: reference beside window"))
    expect(heading).to_be_visible()
    seen.check()


def test_back_and_reload_keep_what_was_seen(visit):
    seen = visit()
    page = seen.open("/")
    page.get_by_role("link", name="flights", exact=True).click()
    page.get_by_role("link", name="flights-data-quality", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("flights-data-quality")
    page.get_by_role("link", name="dest", exact=True).click()
    expect(page.get_by_role("heading", name="dest: reference beside window")).to_be_visible()

    page.reload()
    seen.drawn()
    expect(page.get_by_role("heading", name="dest: reference beside window")).to_be_visible()
    page.go_back()
    page.go_back()
    page.go_back()

    expect(page.get_by_role("heading", level=1)).to_contain_text("firing")
    seen.check()


@pytest.mark.full
def test_theme_is_kept_over_a_reload(visit):
    seen = visit()
    page = seen.open(MONITOR)
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")

    page.reload()
    seen.drawn()

    expect(button).to_have_text("Theme: dark")
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(14, 18, 22)"
    tick = page.locator("#timeline .ytick text").first
    assert tick.evaluate("e => getComputedStyle(e).fill") == "rgb(155, 168, 181)"
    seen.check()


@pytest.mark.full
def test_hostile_feature_name_is_only_text(visit):
    seen = visit()
    page = seen.open(MONITOR)
    name = page.locator(".features a", has_text="onerror")
    expect(name).to_be_visible()

    name.click()

    expect(page.locator("h2", has_text="onerror")).to_be_visible()
    assert page.locator("#page img").count() == 0
    seen.check()
