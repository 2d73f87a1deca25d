"""Jobs in a real browser, with a real server and a real scheduler: what ran, why not, run it."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import yaml
from playwright.sync_api import expect

from tests.dashboard.accessible import axe_faults
from tests.dashboard.conftest import serving
from tests.dashboard.jobs_seed import jobs_site
from tests.dashboard.journey import journey

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    # In a thread of its own: the browser may hold this one's event loop.
    with ThreadPoolExecutor(1) as pool:
        context = jobs_site(tmp_path_factory.mktemp("jobs"))
        yield pool.submit(context.__enter__).result()
        pool.submit(context.__exit__, None, None, None).result()


@pytest.fixture(scope="module")
def url(site):
    with serving(site) as found:
        yield found


@pytest.fixture
def seen(visits, url):
    return visits(url)


def test_the_failed_job_and_why(seen):
    with journey(seen, "/", clicks=3) as page:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
        failed = page.get_by_role("navigation", name="State").get_by_role("link", name="failed")
        failed.click()
        expect(page).to_have_url(re.compile("/jobs\\?state=failed$"))
        # A click into the list before would be lost with it.
        expect(failed).to_have_attribute("aria-current", "page")
        page.get_by_role("row").filter(has_text="broken").get_by_role("link").nth(1).click()

        verdict = page.locator(".verdict")
        expect(verdict).to_contain_text("The run failed: the window is not judged")
        expect(verdict).to_contain_text("broken.py, line 3")
        expect(verdict).to_contain_text("TypeJSONDecodeErrorRecord1")
        expect(page.get_by_role("heading", name="Log")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text("480 rows of 24 requests")
        assert axe_faults(page) == []


def test_an_endpoint_without_monitor_is_set_up(seen, site):
    with journey(seen, "/", clicks=2) as page:
        row = page.get_by_role("row").filter(has_text="prices")
        expect(row).to_contain_text("no monitor")
        row.get_by_role("link", name="none").first.click()
        expect(page.get_by_role("main")).to_contain_text(
            "No data quality monitor watches this endpoint yet"
        )
        text = page.get_by_role("code").filter(has_text="kind: Monitor").inner_text()

        answer = site.running.apply(yaml.safe_load(text))

        assert answer.status_code == 200, answer.text
        page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="Fleet").click()
        expect(row.get_by_role("link", name="Overdue")).to_be_visible()  # By its start.


def test_run_now_is_the_scheduler_s_and_outlives_the_tab(seen, visits, url, site):
    with journey(seen, "/", clicks=3) as page:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
        page.get_by_role("link", name="Schedules").click()
        row = page.get_by_role("row").filter(has_text="first")
        expect(row).to_contain_text("No window yet")
        row.get_by_role("button", name="Run now").click()
        expect(page.locator("#said")).to_contain_text("Queued 1 window; a scheduler runs")
        queued = page.get_by_role("region", name="Windows that wait for a scheduler")
        expect(queued).to_contain_text("waits for a scheduler")
    page.close()

    other = visits(url)
    with journey(other, "/jobs", clicks=0) as page, site.scheduling():
        # The page asks again by itself.
        expect(page.get_by_role("region", name="Runs, the newest first")).to_contain_text("first")
        expect(page.get_by_role("heading", name="Queued")).to_have_count(0)


@pytest.mark.full
def test_a_backfill_is_counted_first_and_what_waits_is_cancelled(seen, site):
    page = seen.open("/jobs?view=schedules")
    page.get_by_role("row").filter(has_text="second").get_by_role("link", name="Backfill").click()
    page.get_by_role("textbox", name="From").fill("2026-01-10")
    page.get_by_role("textbox", name="To").fill("2026-01-15")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#backfill")).to_contain_text("5 windows to run.")
    assert "from=2026-01-10" in page.url
    assert axe_faults(page) == []
    page.reload()
    seen.drawn()

    page.get_by_role("button", name="Run 5 windows").click()
    waiting = page.get_by_role("region", name="Windows that wait for a scheduler")
    expect(waiting.get_by_role("row")).to_have_count(6)
    waiting.get_by_role("button", name="Cancel").first.click()
    expect(waiting.get_by_role("row")).to_have_count(5)
    with site.scheduling():
        expect(waiting).to_have_count(0)

    page.goto(seen.address + "/jobs?q=second")
    seen.drawn()
    runs = page.get_by_role("region", name="Runs, the newest first").get_by_role("row")
    expect(runs).to_have_count(5)
    seen.check()


def test_a_server_that_does_not_answer_a_button_is_told_with_a_way_on(seen, site):
    page = seen.open("/jobs?view=schedules")
    with ExitStack() as stack:
        page.route("**/actions/**", lambda route: route.abort())
        stack.callback(page.unroute, "**/actions/**")
        page.get_by_role("row").filter(has_text="first").get_by_role("button").click()
        expect(page.locator("#said")).to_contain_text("nothing is known to have changed")
        page.locator("#said").get_by_role("button", name="Refresh the page").click()

    expect(page.locator("#said")).to_be_empty()
    seen.faults = [one for one in seen.faults if "ERR_FAILED" not in one]
    seen.check()
