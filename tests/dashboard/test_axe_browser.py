"""Accessibility of the pages by axe-core, after their data has arrived."""

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.browser

PAGES = (
    "/endpoints/flights/quality", "/endpoints/flights/fairness", "/endpoints/flights/attribution",
    "/endpoints/flights/changes", "/monitors/flights-quality",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing(visit_measured, width, scheme):
    seen = visit_measured(width, scheme)

    found = {}
    for path in PAGES:
        page = seen.open(path)
        page.wait_for_load_state("networkidle")
        for one in Axe().run(page).response["violations"]:
            places = [(node["html"][:120], node["failureSummary"][:200]) for node in one["nodes"]]
            found.setdefault(one["id"], []).append((path, places[:2]))
    assert found == {}
