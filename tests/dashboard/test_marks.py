"""What was found is said to be wanted or not, on the page that shows it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from playwright.sync_api import expect

from driftline.access.principal import system_user
from driftline.app.client.connection import ServerCalls
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import Address
from driftline.dashboard.pages import endpoint
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.conftest import serving
from tests.serving.conftest import Running
from tests.serving.marks_yard import marked

PAGE = "/monitors/quality?window=20260112T000000Z&feature=distance"
COLUMN = "/monitors/quality/columns/distance?window=20260112T000000Z"
GIVEN = {
    "monitor": "quality", "window": "20260112T000000Z", "feature": "distance",
    "verdict": "expected", "reason": "metres",
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """The server, and how the dashboard asks it."""

    running: Running
    calls: ServerCalls

    def __getattr__(self, name: str):
        return getattr(self.running, name)

    @property
    def root(self) -> str:
        return str(self.running.root)

    @property
    def send(self):
        return self.calls.send

    def now(self):
        return self.running.context.now()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ThreadPoolExecutor(1) as pool:
        context = marked(tmp_path_factory.mktemp("marked"))
        found = pool.submit(context.__enter__).result()
        with ServerCalls(found.url) as calls:
            yield Site(found, calls)
        pool.submit(context.__exit__, None, None, None).result()


def marks(site: Site) -> list[dict]:
    found = site.client.get("/api/v1/monitors/quality/marks").json()["items"]
    return [one for one in found if one["withdrawn_at"] is None]


def test_a_mark_from_a_page_is_one_of_the_server(site):
    actions = Actions(site.send, site.now)

    status, said = actions.run("mark", {**GIVEN, "until": "2026-02-01"})

    assert (status, said) == (200, "Annotated; 3 windows judged again.")
    (mark,) = marks(site)
    assert (mark["feature"], mark["verdict"], mark["author"]) == (
        "distance",
        "expected",
        system_user(),
    )
    assert mark["until"] == "2026-02-01T00:00:00+00:00"
    given = {"monitor": "quality", "id": str(mark["id"])}
    assert actions.run("unmark", given) == (200, "Withdrawn; 3 windows judged again.")
    assert marks(site) == []


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"reason": ""}, 400, "reason: expected a text"),
        ({"until": "soon"}, 400, '"soon" is no day or time; expected'),
        ({"verdict": "fine"}, 400, 'mark as "fine"'),
        ({"monitor": "nobody"}, 404, 'Monitor "nobody" does not exist'),
    ],
)
def test_a_wrong_mark_is_refused_in_a_sentence(site, changed, status, said):
    found = Actions(site.send, site.now).run("mark", {**GIVEN, **changed})

    assert found[0] == status
    assert said in found[1]
    assert marks(site) == []


@pytest.mark.browser
def test_marked_and_taken_back_on_the_page(site, visits):
    with serving(site) as address:
        seen = visits(address)
        page = seen.open(PAGE)
        panel = page.locator("#marks")
        expect(panel).to_contain_text("This window has no annotations yet.")

        panel.get_by_label("Reason").fill("units were changed")
        panel.get_by_role("button", name="Annotate").click()

        expect(page.locator("#said")).to_have_text("Annotated; 1 window judged again.")
        expect(panel).to_contain_text(f"distance is expected by {system_user()}")
        expect(panel).to_contain_text("units were changed")
        expect(page.locator(".features tr.chosen")).to_contain_text("expected")
        expect(page.locator("#rows tbody tr").first).to_contain_text("000")
        seen.open(COLUMN)
        expect(page.locator(".verdict")).to_contain_text("In violation, as expected")
        page.locator("#marks").get_by_role("button", name="Withdraw").click()
        expect(page.locator("#said")).to_contain_text("Withdrawn; 1 window judged again.")
        expect(page.locator("#marks")).to_contain_text("no annotations yet")
        seen.check()


def of_endpoint(site):
    stores = Stores(site.engine, site.root, site.now)
    line = next(one for one in stores.overview().monitors if one.name == "quality")
    return stores.endpoint(Address("endpoint", endpoint=line.endpoint))


def test_an_endpoint_counts_what_was_expected_and_does_not_call_it_kept(site):
    asked = {"window": "20260114T000000Z", "verdict": "expected", "reason": "metres", "author": "a"}
    made = site.client.post("/api/v1/monitors/quality/marks", json=asked).json()
    report = f"/api/v1/executions/{made['executions'][0]['id']}/report"
    count = len(site.client.get(report).json()["expected_violations"])

    view = of_endpoint(site)

    back = f"/api/v1/monitors/quality/marks/{made['mark']['id']}/withdraw"
    site.client.post(back, json={"author": "a"})
    page = str(endpoint.page(view))
    assert f"{count} expected violations, no others" in page
    assert "no violations" not in page


def test_an_endpoint_does_not_call_kept_what_could_not_be_judged(site):
    view = of_endpoint(site)
    first = view.line.monitors[0]
    run = replace(first.runs[-1], state="insufficient", failure=None, cause=None)
    line = replace(first, runs=(run,), expected=0)

    page = str(endpoint.page(replace(view, line=replace(view.line, monitors=(line,)))))

    assert "nothing could be judged" in page
    assert "no violations" not in page
