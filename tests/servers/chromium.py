"""Chromium's headless shell, for every test that looks at a page.

It has the same engine as the whole browser, and none of its own windows: those took two thirds of
the CPU time of a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

__all__ = ["PATIENCE_MS", "browser", "chromium"]

# How long a page may take before it counts as hung. A page with charts costs its process 1.5 to 3
# CPU-seconds. Linux shares the processor by session, and browsers and installations have one each:
# beside eight busy ones such a page took 19 s on two cores.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser of its own."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell",
            # One process draws all pages of a context and compiles their scripts once: a page of a
            # process of its own took 3.6 CPU-seconds, most later ones of the same process 1.6.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--renderer-process-limit=1"],
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one browser for all tests of a file."""
    with browser() as found:
        yield found
