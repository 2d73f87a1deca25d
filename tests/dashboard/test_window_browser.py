"""A window of an endpoint in a real browser: its findings, its rows, and what a bar selects."""

import re

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from driftline.dashboard.queries.stores import Stores
from tests.dashboard.journey import journey

pytestmark = pytest.mark.browser

STAMP = "20131118T000000Z"
WINDOW = f"/endpoints/flights/windows/{STAMP}"


def test_from_the_findings_of_a_window_to_one_of_its_rows(visit):
    seen = visit()
    with journey(seen, WINDOW, clicks=4) as page:
        expect(page.get_by_role("heading", name="flights-data-quality")).to_be_visible()
        expect(page.locator(".verdict")).to_contain_text("EDV")
        page.get_by_role("link", name="Rows", exact=True).click()
        page.get_by_label("Rows where").fill("carrier=EDV;chance>0.5")
        page.get_by_role("button", name="Filter").click()
        expect(page).to_have_url(re.compile("where=carrier%3DEDV"))
        table = page.get_by_role("region", name="Rows of the window")
        expect(table.locator("tbody tr").first).to_contain_text("EDV")
        heads = table.locator("th").all_inner_texts()
        assert heads[:6] == ["Row", "Event time", "guess", "chance", "late", "carrier"]

        expect(page.get_by_text("rows meet the conditions.")).to_be_visible()
        table.get_by_role("link").nth(2).press("Enter")

        drawer = page.locator("#row")
        expect(drawer).to_be_in_viewport()
        expect(drawer).to_be_focused()
        opened = table.locator("tr.chosen").get_by_role("link")
        expect(opened).to_have_attribute("aria-current", "true")
        expect(opened).to_have_attribute("id", "row-2")
        expect(drawer).to_contain_text("chance")
        expect(drawer).to_contain_text("wind_speed")
        drawer.get_by_role("link", name="Close").press("Enter")
        expect(drawer).to_have_count(0)
        expect(table.get_by_role("link").nth(2)).to_be_focused()
        expect(table.locator("tr.chosen")).to_have_count(0)


def test_all_rows_by_pages_and_as_a_file(visit, seeded, tmp_path):
    seen = visit()
    page = seen.open(f"{WINDOW}/rows")
    rows = Stores(seeded.engine, seeded.root, seeded.now).judged(seeded.monitor, STAMP)[1].row_count
    pager = page.get_by_role("navigation", name="Pages of the list")
    expect(pager).to_contain_text(f"1–50 of {rows:,}")
    events = page.get_by_role("region", name="Rows of the window").locator("tbody a")
    first = [one.get_attribute("aria-label") for one in events.all()]

    pager.get_by_role("link", name="Later").click()

    expect(pager).to_contain_text(f"51–100 of {rows:,}")
    second = [one.get_attribute("aria-label") for one in events.all()]
    events.nth(1).click()
    expect(page.locator("tr.chosen")).to_have_count(1)
    expect(pager).to_contain_text("51–100")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Parquet").click()
    waiting.value.save_as(tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    events, places = table["event_id"].to_pylist(), table["row_index"].to_pylist()
    names = [f"Row {event}:{place}" for event, place in zip(events, places, strict=True)]
    assert len(names) == len({*names}) == rows
    assert first + second == names[:100]
    seen.check()
