"""A person at the set-up, in a real browser, by visible text, roles and labels."""

import pytest
from playwright.sync_api import expect

from tests.dashboard.accessible import axe_faults
from tests.dashboard.guarded import guarded

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found


def tab(page, name):
    """Open a tab, once it can be."""
    page.get_by_role("navigation", name="Setup").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


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
