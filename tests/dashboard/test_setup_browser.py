"""A person at the set-up, in a real browser, by visible text, roles and labels."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from driftline.alerts.tables import channels
from tests.dashboard.accessible import axe_faults
from tests.dashboard.guarded import guarded
from tests.dashboard.journey import journey

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found


def tab(page, name):
    """Open a tab, once it can be."""
    page.get_by_role("navigation", name="Setup").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_a_channel_is_tested_and_a_disabled_one_enabled(visit_policed, policed_site):
    with policed_site.engine.begin() as connection:  # Others that use it may have enabled it.
        off = {"enabled": False, "disabled_reason": "receiver answered 410 Gone"}
        connection.execute(update(channels).where(channels.c.name == "gone").values(**off))
    seen = visit_policed()
    with journey(seen, "/", clicks=4) as page:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Setup").click()
        tab(page, "Channels")
        row = page.get_by_role("row").filter(has_text="gone")
        expect(row).to_contain_text("✕")
        row.get_by_role("button", name="Enable").click()
        expect(page.locator("#said")).to_contain_text("gone is enabled.")
        expect(row.get_by_role("button", name="Enable")).to_have_count(0)
        other = page.get_by_role("row").filter(has_text="pager")
        other.get_by_role("button", name="Send a test").click()
        expect(page.locator("#said")).to_contain_text("pager took the test message")


def test_a_setting_is_found_with_its_source(visit):
    with journey(visit(), "/setup", clicks=1) as page:
        tab(page, "Settings")
        table = page.get_by_role("region", name="Settings in force, secrets hidden")
        expect(table).to_contain_text("server.port")
        page.get_by_role("searchbox", name="Filter").fill("retention")
        expect(table).not_to_contain_text("server.port")
        expect(table.get_by_role("row").filter(has_text="capture.retention_days")).to_contain_text(
            "default"
        )


def test_an_admin_revokes_a_token_and_reads_of_it_in_the_audit_log(visits, site):
    site.token("shop", ["invoke"])
    seen = visits(site.url)
    page = seen.page
    page.goto(f"{site.url}/login?next=/setup/tokens#token={site.tokens['admin']}")
    seen.drawn()
    row = page.get_by_role("row").filter(has_text="shop")
    expect(row).to_contain_text("valid")
    assert axe_faults(page) == []

    row.get_by_role("button", name="Revoke").click()

    expect(row).to_contain_text("revoked")
    expect(row.get_by_role("button")).to_have_count(0)
    tab(page, "Audit")
    entry = page.get_by_role("row").filter(has_text="Token/shop").filter(has_text="delete")
    expect(entry).to_contain_text("admin")
    seen.check()


def test_a_viewer_is_offered_what_is_theirs_and_cannot_change_it(visits, site):
    seen = visits(site.url, 390, "dark")
    page = seen.page
    page.goto(f"{site.url}/login?next=/setup/channels#token={site.tokens['viewer']}")
    seen.drawn()

    tabs = page.get_by_role("navigation", name="Setup").get_by_role("link")
    expect(tabs).to_have_text(["Baselines", "Channels"])
    expect(page.get_by_role("main")).to_contain_text("No notification channel is configured")
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
    seen.open("/setup/tokens")
    expect(page.get_by_role("alert")).to_contain_text(
        "This takes the role admin; viewer has viewer"
    )
    seen.check()
