"""A person on call at the pages of alarms: silence, send again, preview, in a real browser."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.dashboard.policed_seed import MAINTENANCE

pytestmark = pytest.mark.browser


def path_of(name):
    return f"/alarms/{quote(name, safe='')}"


def test_refusals_of_the_server_are_said_on_the_page(visit_policed, policed_site):
    seen = visit_policed()
    page = seen.open(path_of(MAINTENANCE))
    form = page.locator("#quiet form").first
    form.evaluate("form => { form.dataset.given = JSON.stringify({ alarms: [] }); }")
    form.get_by_label("Reason").fill("roll-out")

    form.get_by_role("button").click()

    expect(page.get_by_role("status")).to_contain_text("1 to 100 names")
    expect(page.locator("#said")).to_have_class("fault")


def test_preview_by_the_form_is_part_of_the_address_and_is_saved(visit_policed, changeable):
    seen = visit_policed()
    page = seen.open(path_of(changeable))
    preview = page.locator("#preview")

    preview.get_by_label("Threshold").fill("204")
    preview.get_by_label("Breaching periods").fill("2")
    preview.get_by_role("button", name="Preview").click()

    changed = preview.locator("tbody tr", has_text="With these values")
    expect(changed).to_be_visible()
    expect(page).to_have_url(re.compile(r"threshold=204.*needed=2|needed=2.*threshold=204"))
    said = changed.inner_text()
    page.reload()
    seen.drawn()
    expect(preview.get_by_label("Threshold")).to_have_value("204")
    assert changed.inner_text() == said
    expect(preview.locator("#trial-yaml")).to_contain_text("threshold: 204.0")
    preview.get_by_role("button", name="Save these values").click()
    expect(page.get_by_text(f"Saved; {changeable} is evaluated with these values")).to_be_visible()
    expect(page.locator("main")).to_contain_text("2 of 5 periods are above 204")

    preview.get_by_label("Breaching periods").fill("9")
    preview.get_by_role("button", name="Preview").click()
    expect(preview.get_by_role("alert")).to_contain_text("datapoints_to_alarm 9")
    seen.check()
