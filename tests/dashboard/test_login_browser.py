"""A person logs in by the link of ``driftline up``, silences an alarm, and logs out again."""

import re
from functools import partial
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from driftline.access.authentication import COOKIE
from tests.dashboard.accessible import axe_faults
from tests.dashboard.guarded import ALARM, guarded
from tests.dashboard.journey import CLICKS, COUNT_CLICKS

pytestmark = pytest.mark.browser

ALARM_PATH = f"/alarms/{quote(ALARM)}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        found.tokens["ana"] = found.token("ana", ["operator"])
        yield found


@pytest.fixture
def visit_guarded(visits, site):
    return partial(visits, site.url)


def test_a_link_logs_in_a_silence_bears_the_name_and_logging_out_ends_it(visit_guarded, site):
    seen = visit_guarded()
    page, token = seen.page, site.tokens["ana"]
    asked = []
    page.on("request", lambda request: asked.append((request.url, request.headers)))

    page.goto(f"{site.url}/login?next={quote(ALARM_PATH, safe='')}#token={token}")
    seen.drawn()

    assert page.url == site.url + ALARM_PATH
    assert not any(token in f"{url}{headers}" for url, headers in asked)
    bar = page.locator(".top")
    expect(bar.get_by_text("ana", exact=True)).to_have_attribute("title", "ana: operator")
    quiet = page.locator("#quiet")
    quiet.get_by_label("Reason").fill("new model")
    quiet.get_by_role("button", name=re.compile("^Silence$")).click()
    expect(quiet).to_contain_text("by ana: new model")
    assert site.audit(subject="ana", limit=1)[0]["action"] == "create"

    bar.get_by_role("button", name="Log out").click()

    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert page.url == f"{site.url}/login"
    assert COOKIE not in {one["name"] for one in page.context.cookies()}
    assert site.audit(subject="ana", limit=1)[0]["action"] == "logout"
    page.goto(site.url + ALARM_PATH)
    expect(page.get_by_label("Token")).to_be_focused()
    seen.check()


def test_a_wrong_link_says_so_and_the_form_still_works(visit_guarded, site):
    seen = visit_guarded(360, "dark")
    page = seen.page
    page.goto(f"{site.url}/login#token=wrong")
    expect(page.get_by_role("alert")).to_contain_text("This token is not valid")
    assert axe_faults(page) == []
    assert page.url == f"{site.url}/login"

    page.get_by_label("Token").fill(site.tokens["viewer"])
    page.get_by_role("button", name="Log in").click()
    seen.drawn()

    expect(page.get_by_text("viewer", exact=True)).to_be_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0


@pytest.mark.full
def test_a_viewer_logs_in_and_is_refused_an_edit(visit_guarded, site):
    seen = visit_guarded()
    seen.page.add_init_script(COUNT_CLICKS)
    page = seen.page
    page.goto(f"{site.url}/login")
    page.get_by_label("Token").fill(site.tokens["viewer"])
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="all alarms").click()
    page.get_by_role("link", name=ALARM, exact=True).click()

    silence = page.get_by_role("button", name="Silence", exact=True)
    expect(silence).to_be_disabled()
    expect(silence).to_have_attribute("title", "This takes the role operator; viewer has viewer.")
    assert page.evaluate(CLICKS) <= 3
    # Whoever enables it by hand is refused by the server.
    silence.evaluate("button => { button.disabled = false; }")
    page.get_by_label("Reason").fill("mine")
    silence.click()
    expect(page.get_by_role("status")).to_contain_text("operator")
    assert site.audit(subject="viewer", limit=1)[0]["status"] == 403


@pytest.mark.parametrize("way", [pytest.param("a link", marks=pytest.mark.full), "a button"])
def test_an_open_page_leads_back_to_the_login_when_its_session_has_ended(visit_guarded, site, way):
    page = visit_guarded().page
    page.goto(f"{site.url}/login?next={quote(ALARM_PATH, safe='')}#token={site.tokens['ana']}")
    page.wait_for_selector("#page [data-title]", state="visible")
    page.context.clear_cookies()

    if way == "a link":
        page.get_by_role("link", name="Alerts").click()
    else:
        page.locator("#quiet").get_by_label("Reason").fill("kept")
        page.get_by_role("button", name=re.compile("^Silence$")).click()

    said = page.get_by_role("status")
    expect(said).to_contain_text("Your session has ended. Log in again")
    # Dash reads the refusal twice, and would tell that it could not.
    again = page.evaluate(
        "async () => { const a = await fetch('/audit.csv'); await a.text(); return a.text(); }"
    )
    assert "your session has ended: open /login" in again
    if way == "a button":
        expect(page.locator("#quiet").get_by_label("Reason")).to_have_value("kept")
    said.get_by_role("link").click()
    page.get_by_label("Token").fill(site.tokens["ana"])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("#page [data-title]", state="visible")
    assert page.url == site.url + ("/alarms" if way == "a link" else ALARM_PATH)
