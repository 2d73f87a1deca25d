"""What axe-core finds on a page, with everything on it open."""

from axe_playwright_python.sync_playwright import Axe

# To collect what passed, too, takes almost half of the time.
FAULTS_ALONE = {"resultTypes": ["violations"]}
OPEN = "() => document.querySelectorAll('details').forEach(one => { one.open = true; })"


def axe_faults(page):
    """Return each rule that a page breaks, with its first place."""
    page.evaluate(OPEN)
    found = []
    for one in Axe().run(page, options=FAULTS_ALONE).response["violations"]:
        first = one["nodes"][0]
        found.append(f"{one['id']}: {first['html'][:120]} {first['failureSummary']}")
    return found
