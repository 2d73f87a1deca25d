"""Every page after its data has arrived: it fits its screen, is accessible, and nothing jumps."""

import pytest
from playwright.sync_api import expect

from tests.dashboard.accessible import axe_faults
from tests.dashboard.all_pages import LIKE_OTHERS, PAGES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SITES = {
    "seeded": "address", "measured": "measured_address", "policed": "policed_address",
}  # fmt: skip
THEME = "theme => { document.documentElement.dataset.theme = theme; }"
# Width, theme. Pages share their style: in a short run, axe sees a page of each template, one wide
# and light, the next narrow and dark.
LOOKS = [(1440, "light"), (390, "dark")]
ALL_LOOKS = [*LOOKS, (1440, "dark"), (390, "light")]
MOST_NODES = 3_000
# Web Vitals call a page good up to here.
SHIFT = 0.1
COUNT_SHIFTS = """window.shift = 0;
new PerformanceObserver(list => list.getEntries().forEach(one => { window.shift += one.value; }))
    .observe({ type: "layout-shift", buffered: true });"""
# Of whatever counts: a cell that holds all of its row is the darkest that there can be.
DARKEN = """() => document.querySelectorAll(".matrix td").forEach(
    one => one.style.setProperty("--strength", "46%"))"""

PALE = """<table style="color: #222; background: #fff"><tr><td>first<tr><td>second
<tr style="color: #bbb"><td>third<tr><td>fourth</table>"""


@pytest.mark.parametrize("installation", PAGES)
def test_pages_fit_are_accessible_and_nothing_jumps(visits, installation, request):
    seen = visits(request.getfixturevalue(SITES[installation]))
    seen.page.add_init_script(COUNT_SHIFTS)
    is_full = request.config.getoption("full")
    looks = ALL_LOOKS if is_full else LOOKS
    left_out = set() if is_full else LIKE_OTHERS[installation]

    found = []
    pages = [(name, path) for name, path in PAGES[installation].items() if name not in left_out]
    for number, (name, path) in enumerate(pages):
        for width, theme in looks:
            seen.page.set_viewport_size({"width": width, "height": 900})
            if (width, theme) == looks[0]:
                page = seen.open(path)
                page.wait_for_load_state("networkidle")
                assert page.evaluate("() => window.shift") < SHIFT, name
                expect(page.locator("h1"), name).to_have_count(1)
                assert page.locator("*").count() < MOST_NODES, name
                page.evaluate(DARKEN)
            # Figures follow the width of the window a moment later.
            expect(page.locator("html"), name).to_have_js_property("scrollWidth", width)
            page.evaluate(THEME, theme)
            if is_full or (width, theme) == looks[number % len(looks)]:
                faults = axe_faults(page, every_text=is_full)
                found += [f"{name} {width} {theme}: {one}" for one in faults]
    assert not found, "\n".join(found)
    seen.faults = [one for one in seen.faults if "404" not in one]  # One of the pages is none.
    seen.check()


@pytest.mark.parametrize(
    "every_text",
    [False, pytest.param(True, marks=pytest.mark.full)],
    ids=["one of each", "every text"],
)
def test_a_pale_row_below_others_is_found(chromium, every_text):
    page = chromium.new_page()
    page.set_content(PALE)

    (found,) = (one for one in axe_faults(page, every_text=every_text) if "contrast" in one)

    assert "third" in found
    page.close()
