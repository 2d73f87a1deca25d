"""A person's way through the pages, with a bound on clicks and seconds."""

import time
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

# A page takes up to 20 s on a machine that is as busy with other tests as it gets (PATIENCE_MS in
# tests/servers/chromium.py), and a journey has up to five.
SECONDS = 100
MOST_TABS = 60
# Those by the keyboard, too: Enter on a link is a click.
COUNT_CLICKS = """addEventListener("click", event => {
    if (event.isTrusted) sessionStorage.clicks = 1 + Number(sessionStorage.clicks || 0);
}, true);"""
CLICKS = "() => Number(sessionStorage.clicks || 0)"


@contextmanager
def journey(seen, path, *, clicks, seconds=SECONDS):
    """Walk from a page on; at the end nothing may have gone wrong, nor taken more than is said."""
    seen.page.add_init_script(COUNT_CLICKS)
    began = time.monotonic()
    yield seen.open(path)
    took = time.monotonic() - began
    seen.check()
    assert seen.page.evaluate(CLICKS) <= clicks
    assert took <= seconds


def by_hand(_page, place):
    """Click on a place."""
    place.click()


def by_keyboard(page, place):
    """Go to a place by Tab alone, and press Enter."""
    expect(place).to_be_visible()
    for _ in range(MOST_TABS):
        if place.evaluate("place => place === document.activeElement"):
            page.keyboard.press("Enter")
            return
        page.keyboard.press("Tab")
    pytest.fail(f"not reached by {MOST_TABS} times Tab")
