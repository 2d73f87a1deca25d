"""The page of a report in a real browser: what it does with its script, and what without."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

import driftline as dl
from driftline.monitors.report.ranking import violated_features
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from tests.servers.chromium import chromium

__all__ = ["chromium"]

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="alert(1)">'
RANDOM = np.random.default_rng(4)
REFERENCE = pd.DataFrame(
    {
        HOSTILE: RANDOM.normal(0, 1, 2_000),
        "level": RANDOM.choice(["a", "b"], 2_000),
        "calm": RANDOM.normal(0, 1, 2_000),
        "b10": RANDOM.integers(0, 9, 2_000),
        "b9": RANDOM.integers(0, 9, 2_000),
    }
)


@pytest.fixture(scope="module")
def report() -> Report:
    now = REFERENCE.head(500).assign(level=[HOSTILE] * 200 + ["a"] * 300)
    now[HOSTILE] += 3
    return dl.check(now, dl.Baseline.fit(REFERENCE))


Opener = Callable[..., Page]


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Opener]:
    """Open a report's page; at the end nothing may have gone wrong or been asked for."""
    faults: list[str] = []
    contexts = []

    def visit(report: Report | Reports, **options: object) -> Page:
        report.to_html(tmp_path / "report.html")
        context = chromium.new_context(offline=True, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", lambda message: faults.append(message.text))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda one: faults.append(one.url) if one.url[:5] != "file:" else None)
        page.goto((tmp_path / "report.html").as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []


def names(page: Page) -> list[str]:
    found = page.locator("#feature-table > tbody > tr > th").all_inner_texts()
    return [one.strip() for one in found]


def test_features_sort_by_name_and_by_number_what_is_missing_last(
    opened: Opener, report: Report
) -> None:
    page = opened(report)
    assert set(names(page)[:2]) == {HOSTILE, "level"}

    page.locator('th[data-key="0"] button').click()
    assert names(page)[1:] == ["b9", "b10", "calm", "level"]  # Digits count as numbers.

    page.locator('th[data-key="2"] button').click()
    cells = page.locator("#feature-table > tbody > tr > td:nth-child(4)").all_inner_texts()
    assert [float(one) for one in cells] == sorted(map(float, cells), reverse=True)


def test_features_are_found_by_name_and_by_how_they_fared(opened: Opener, report: Report) -> None:
    page = opened(report)

    page.get_by_label("Find a feature").fill("B1")
    assert names(page) == ["b10"]
    page.get_by_label("Find a feature").fill("")
    page.get_by_role("button", name="Violated 2").click()
    assert set(names(page)) == {HOSTILE, "level"}
    expect(page.locator("#shown")).to_have_text("2 of 5")


def test_every_feature_opens_its_picture_and_its_modes(opened: Opener, report: Report) -> None:
    page = opened(report)

    row = page.get_by_role("button", name="calm")
    row.click()
    detail = page.locator("tr.detail")
    found = report.comparison("calm")
    assert found is not None
    assert detail.locator("table.bars th").all_inner_texts() == list(found.labels)
    detail.get_by_role("button", name="Cumulative").click()
    assert detail.locator("td.value").last.inner_text() == "100% → 100%"
    detail.get_by_role("button", name="Change").click()
    assert "points" in detail.locator("td.value").first.inner_text()
    row.click()
    expect(detail).to_have_count(0)


def test_a_bar_tells_counts_and_interval_to_pointer_and_keyboard(
    opened: Opener, report: Report
) -> None:
    page = opened(report)
    bar = page.locator("article table.bars tr").first
    found = report.comparison(violated_features(report.violations)[0].feature)
    assert found is not None

    bar.hover()
    expect(page.locator(".tip")).to_contain_text("95% interval")
    page.keyboard.press("Escape")
    expect(page.locator(".tip")).to_be_hidden()
    bar.focus()
    expect(page.locator(".tip")).to_contain_text(found.labels[0])
    # The page finds its intervals itself; they are the report's.
    low = round(100 * float(found.window_low[0]), 1)
    if low >= 0.1:
        expect(page.locator(".tip")).to_contain_text(f"95% interval: {low:g}%")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_a_page_fits_its_screen(opened: Opener, report: Report, width: int, scheme: str) -> None:
    page = opened(report, viewport={"width": width, "height": 900}, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")


LINES = """node => {
    const words = document.createRange();
    words.selectNodeContents(node);
    return new Set([...words.getClientRects()].map(one => Math.round(one.bottom))).size;
}"""


def test_names_on_a_narrow_screen_are_not_broken_letter_by_letter(opened: Opener) -> None:
    column = "departure_delay"
    then = pd.DataFrame(
        {column: RANDOM.normal(0, 1, 2_000), "origin": RANDOM.choice(["EWR", "JFK"], 2_000)}
    )
    rules = [{"check": "unique", "column": column, "name": "no_two_of_the_same_delay"},
             {"check": "bounds", "column": column, "min": 0}]  # fmt: skip
    report = dl.check(then, dl.Baseline.fit(then, segments=["origin"]), rules=rules)

    page = opened(report, viewport={"width": 390, "height": 900})

    for selector in ("table.side > tbody > tr > th", "#feature-table > tbody > tr > th"):
        heads = page.locator(selector)
        for place in range(heads.count()):
            # Of the name alone: a row is as high as the longest of its cells.
            assert heads.nth(place).evaluate(LINES) <= 2, heads.nth(place).inner_text()
    fits = (
        "[...document.querySelectorAll('.wide')].every(one => one.scrollWidth <= one.clientWidth)"
    )
    assert page.evaluate(fits)
    expect(page.locator("table.side td").first).to_be_visible()


def test_a_page_that_may_run_no_script_is_still_whole(opened: Opener, report: Report) -> None:
    page = opened(report, java_script_enabled=False)

    expect(page.locator("article figure svg").first).to_be_visible()
    assert set(names(page)) == set(REFERENCE.columns)
    expect(page.locator("#controls")).to_be_hidden()


def test_five_thousand_features_open_and_can_be_searched(opened: Opener, report: Report) -> None:
    results = [replace(report.results[0], feature=f"column {place}") for place in range(5_000)]
    found = report.comparison(report.results[0].feature)
    wide = replace(report, violations=(), results=tuple(results), comparer=lambda _: found)

    page = opened(wide)
    page.get_by_label("Find a feature").fill("column 4987")

    assert names(page) == ["column 4987"]
    page.get_by_role("button", name="column 4987").click()
    expect(page.locator("tr.detail table.bars")).to_be_visible()
    page.get_by_label("Find a feature").fill("")
    page.locator("#end").scroll_into_view_if_needed()
    expect(page.locator("#feature-table > tbody > tr")).not_to_have_count(100)
