"""Chromium's headless shell, for every test that looks at a page.

It has the same engine as the whole browser, and none of its own windows: those took two thirds of
the CPU time of a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

__all__ = ["browser", "chromium"]


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
