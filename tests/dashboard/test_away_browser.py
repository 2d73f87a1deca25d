"""What an open page says while the dashboard is stopped, killed or slow: never nothing."""

import os
import re
import signal
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Visit
from tests.servers.chromium import PATIENCE_MS
from tests.servers.installations import ForkedInstallation
from tests.servers.ports import free_port

pytestmark = pytest.mark.browser

MARGIN_S = 5  # The page's clock can be paused at a moment to come only.
NOTHING = "Nothing is monitored yet"


@contextmanager
def dashboard(folder, port):
    """Run ``driftline dashboard`` as a process of its own until it is ended."""
    environment = {**os.environ, "NO_COLOR": "1", "DRIFTLINE_DASHBOARD__PORT": str(port)}
    process = ForkedInstallation(["dashboard"], folder, environment)
    try:
        for line in process.stderr:
            if "ready; Ctrl-C" in line:
                break
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def process(tmp_path):
    port = free_port()
    with dashboard(tmp_path, port) as found:
        yield found, f"http://127.0.0.1:{port}", tmp_path, port


@pytest.fixture
def page(chromium):
    """A page whose time the test moves on."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.clock.install()
    yield page
    context.close()


def opened(page, url, path="/"):
    Visit(page, url).open(path)
    expect(page.locator("#as-of")).to_have_text(re.compile(r"^As of \d\d:\d\d:\d\d$"))
    return page.locator("#as-of").inner_text().removeprefix("As of ")


def pause(page):
    """Leave the page's time to the test alone: a busy machine may take long for a click."""
    page.clock.pause_at(page.evaluate("() => Date.now()") / 1000 + MARGIN_S)


def test_a_stopped_process_is_said_and_its_return_too(page, process):
    running, url, _, _ = process
    time = opened(page, url)
    banner, main = page.locator("#old"), page.locator("#main")
    running.send_signal(signal.SIGSTOP)

    pause(page)
    page.clock.run_for(50_000)
    expect(banner).to_be_empty()
    page.clock.run_for(8_000)

    expect(banner).to_contain_text(f"Not refreshed since {time}")
    expect(main).to_have_attribute("data-state", "old")
    expect(page.get_by_role("heading", level=1)).to_have_text(NOTHING)

    page.clock.resume()
    running.send_signal(signal.SIGCONT)

    expect(banner).to_be_empty()
    expect(main).to_have_attribute("data-state", "")


@pytest.mark.full
def test_a_killed_process_is_said_and_retry_asks_the_one_that_follows(page, process):
    running, url, folder, port = process
    opened(page, url)
    running.kill()
    running.wait()
    page.clock.run_for(63_000)
    expect(page.locator("#old")).to_contain_text("Not refreshed since")

    page.get_by_role("link", name="Alerts", exact=True).click()

    away = page.locator("#away")
    expect(away).to_contain_text("The dashboard does not answer")
    # What is drawn is not the page of the address.
    expect(page.get_by_role("heading", level=1)).to_have_text("The dashboard does not answer")
    with dashboard(folder, port):
        away.get_by_role("button", name="Retry").click()

        expect(page.get_by_role("heading", level=1)).to_have_text("Alarms")
        expect(away).to_be_empty()
        expect(page.locator("#old")).to_be_empty()


@pytest.mark.full
def test_a_form_that_is_being_filled_in_stays_and_the_page_says_how_old_it_is(
    page, policed_address
):
    time = opened(page, policed_address, "/alarms/latency%20high")
    # Dash draws the page anew, again and again, where Plotly has not come for 30 s of its clock.
    expect(page.locator(".main-svg").first).to_be_visible()
    box = page.locator("#quiet").get_by_label("Reason")
    box.click()  # Waits until the box stands still: drawn a moment ago, it takes its own value yet.
    box.fill("half a sen")

    page.clock.run_for(63_000)

    expect(page.locator("#old")).to_contain_text(f"Not refreshed since {time}, while a form")
    expect(box).to_have_value("half a sen")
    expect(page.locator("#main")).to_have_attribute("data-state", "")
    page.get_by_role("button", name="Refresh now").click()
    expect(page.locator("#old")).to_be_empty()
