"""How much an open page holds after many others were shown in its place."""

import pytest

pytestmark = pytest.mark.browser

MONITOR = "/monitors/flights-data-quality"
WAY = (MONITOR, f"{MONITOR}?feature=dest", f"{MONITOR}/columns/dest", "/", "/alarms")
GO = "p => document.dispatchEvent(new CustomEvent('driftline-go', { detail: location.origin + p }))"
BYTES_A_PAGE = 1e5


def test_pages_that_were_left_are_let_go(visit, pytestconfig):
    """200 navigations may leave 20 MB, after a forced collection; so 30 may leave 3 MB."""
    rounds = 40 if pytestconfig.getoption("full") else 6
    seen = visit(fresh=True)
    page = seen.open("/")
    tools = page.context.new_cdp_session(page)

    def walk(rounds):
        for path in WAY * rounds:
            with page.expect_response(lambda answer: "_dash-update-component" in answer.url):
                page.evaluate(GO, path)
        page.get_by_role("heading", name="Alarms", level=1).wait_for()
        page.locator("main:not([aria-busy=true])").wait_for()
        for _ in range(3):  # What the first lets go of holds nodes that the next one frees.
            tools.send("HeapProfiler.collectGarbage")
        nodes = tools.send("Memory.getDOMCounters")["nodes"]
        return tools.send("Runtime.getHeapUsage")["usedSize"], nodes

    heap, nodes = walk(2)
    later_heap, later_nodes = walk(rounds)

    assert later_heap - heap < BYTES_A_PAGE * rounds * len(WAY)
    assert later_nodes < 1.5 * nodes
    seen.check()
