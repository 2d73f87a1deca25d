"""A person on call at the pages of alarms: silence, send again, preview, in a real browser."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from driftline.access.principal import system_user
from tests.dashboard.policed_seed import BROKEN, LATENCY, MAINTENANCE

pytestmark = pytest.mark.browser

DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def path_of(name):
    return f"/alarms/{quote(name, safe='')}"


def test_silence_from_the_page_and_its_end(visit_policed):
    seen = visit_policed()
    page = seen.open(path_of(BROKEN))
    quiet = page.locator("#quiet")

    quiet.get_by_label("For").select_option("8 h")
    silence = quiet.get_by_role("button", name=re.compile("^Silence$"))
    silence.click()
    expect(quiet.get_by_label("Reason")).to_be_focused()  # The browser asks for it.
    quiet.get_by_label("Reason").fill("roll-out")
    ring = quiet.locator(".dash-input-container", has=page.locator(":focus-visible"))
    expect(ring).to_have_css("outline", "rgb(0, 114, 178) solid 2px")  # As of all else.
    silence.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("Silenced until 15 Jan 2026 14:00")
    expect(quiet).to_contain_text(f"until 15 Jan 2026 14:00 by {system_user()}: roll-out")

    expect(silence).to_be_focused()

    quiet.get_by_role("button", name="End now").press("Enter")

    expect(quiet.get_by_role("button", name="End now")).to_have_count(0)
    expect(quiet).to_be_focused()
    seen.check()


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


def test_what_is_typed_survives_the_refresh(visit_policed):
    seen = visit_policed()
    page = seen.open(path_of(LATENCY))
    box = page.locator("#quiet").get_by_label("Reason")
    box.fill("half a sen")

    with page.expect_response(lambda answer: "_dash-update-component" in answer.url):
        page.evaluate("() => window.dash_clientside.set_props('tick', { data: 77 })")
    page.evaluate(DRAWN)

    expect(box).to_have_value("half a sen")


def test_composite_leads_to_its_alarms_and_its_name_is_only_text(visit_policed):
    seen = visit_policed()
    page = seen.open("/alarms")
    page.get_by_role("link", name=BROKEN, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(BROKEN)
    assert page.locator("#page h1 b").count() == 0

    page.locator("#rule").get_by_role("link", name=LATENCY).click()

    expect(page.get_by_role("heading", level=1)).to_have_text(LATENCY)
    seen.check()
