"""The page of a backtest on a phone: nothing is cut off, and each number says what it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import expect

from driftline.monitors.backtest.backtest import backtest
from driftline.monitors.backtest.page import backtest_page
from tests.servers.chromium import browser

pytestmark = pytest.mark.browser

START = datetime(2024, 1, 1, tzinfo=UTC)


def test_a_phone_shows_all_of_each_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    at = np.datetime64("2024-01-01", "us") + np.arange(30 * 500) * np.timedelta64(172_800_000, "us")
    rows = pa.table(
        {"at": at, "arrival_minute_of_hour": rng.normal(0, 1, len(at)) + (at > at[-500])}
    )
    found = backtest(
        rows,
        timestamp="at",
        reference_until=START + timedelta(days=20),
    )
    file = tmp_path / "page.html"
    file.write_text(backtest_page(found.as_dict()), encoding="utf-8")

    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 390, "height": 800})
        page.goto(file.as_uri())
        tables = page.locator(".wide")
        wide = "all => all.filter(one => one.scrollWidth > one.clientWidth).length"
        assert tables.evaluate_all(wide) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        expect(tables).to_have_count(1)
