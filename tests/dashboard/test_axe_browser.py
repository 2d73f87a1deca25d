"""Accessibility of every page by axe-core, after its data has arrived and with all of it open."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.dashboard.all_pages import PAGES

pytestmark = pytest.mark.browser

SITES = {
    "seeded": "address", "measured": "measured_address", "policed": "policed_address",
}  # fmt: skip
OPEN = "() => document.querySelectorAll('details').forEach(one => { one.open = true; })"
THEME = "theme => { document.documentElement.dataset.theme = theme; }"
# Width, theme. A theme changes colours alone, which take no room: each is seen once.
LOOKS = [(1440, "light"), (390, "dark")]
ALL_LOOKS = [*LOOKS, (1440, "dark"), (390, "light")]


@pytest.mark.parametrize("installation", PAGES)
def test_axe_finds_nothing(visits, installation, request):
    seen = visits(request.getfixturevalue(SITES[installation]))
    looks = ALL_LOOKS if request.config.getoption("full") else LOOKS

    found = []
    for name, path in PAGES[installation].items():
        page = seen.open(path)
        page.wait_for_load_state("networkidle")
        for width, theme in looks:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(THEME, theme)
            page.evaluate(OPEN)
            for one in Axe().run(page).response["violations"]:
                first = one["nodes"][0]
                places = f"{len(one['nodes'])} x {first['html'][:120]} {first['failureSummary']}"
                found.append(f"{name} {width} {theme}: {one['id']}: {places}")
    assert not found, "\n".join(found)
    seen.faults = [one for one in seen.faults if "404" not in one]  # One of the pages is none.
    seen.check()
