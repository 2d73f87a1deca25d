"""Alarms, columns, model quality, bias and attribution in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.dashboard.measured_seed import ALARM_NAMES

pytestmark = pytest.mark.browser

SLASH, DOTS, HOSTILE, _ = ALARM_NAMES
KINDS = ("/monitors/flights-quality", "/monitors/flights-bias", "/monitors/flights-attribution")


@pytest.mark.parametrize(
    "name", [*(pytest.param(one, marks=pytest.mark.full) for one in (SLASH, DOTS)), HOSTILE]
)
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


@pytest.mark.full
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
