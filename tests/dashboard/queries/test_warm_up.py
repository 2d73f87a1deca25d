"""Suppressed drift is seen on the overview and the window's page, and decided there."""

from __future__ import annotations

import json

import pytest
from plotly.utils import PlotlyJSONEncoder

from driftline.access.principal import system_user
from driftline.app.client.connection import ServerCalls
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import Address
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.pages import monitor as monitor_page
from driftline.dashboard.queries.stores import Stores
from tests.serving.marks_yard import judge, marked

THIRD = "20260114T000000Z"


@pytest.fixture
def server(tmp_path):
    with marked(tmp_path) as found:
        yield found


@pytest.fixture
def stores(server) -> Stores:
    return Stores(server.engine, str(server.root), server.context.now)


@pytest.fixture
def actions(server):
    with ServerCalls(server.url) as calls:
        yield Actions(calls.send, server.context.now)


def text(component) -> str:
    return json.dumps(component, cls=PlotlyJSONEncoder)


def quiet(server) -> None:
    """Expect all that alarms besides, so that what is suppressed is all there is to see."""
    for feature in ("distance", "carrier"):
        body = {"window": "20260112T000000Z", "verdict": "expected", "reason": "r", "author": "a",
                "feature": feature, "until": "2026-02-01T00:00:00Z"}  # fmt: skip
        assert server.client.post("/api/v1/monitors/quality/marks", json=body).status_code == 200


def test_what_is_held_back_is_said_where_nothing_else_is_wrong(server, stores):
    quiet(server)
    overview = stores.overview()
    line = next(one for one in overview.monitors if one.name == "quality")
    view = stores.monitor("quality", THIRD, None)
    page = text(monitor_page.page(view))

    assert "carrier" in line.suppressed
    assert view.warm_up is not None
    assert "driftline monitor commission quality --accept" in view.warm_up.words
    assert "driftline monitor baseline quality --from 2026-01-12T00:00:00Z" in view.warm_up.words
    assert "The baseline does not fit" in page
    assert "No violations" not in monitor_page.verdict(view, view.run)
    of_endpoint = endpoint_page.page(stores.endpoint(Address("endpoint", endpoint=line.endpoint)))
    assert "is suppressed because the baseline does not fit" in text(of_endpoint)


def test_only_columns_are_counted_as_features(server, stores):
    first = stores.monitor("quality", "20260112T000000Z", None)
    quiet(server)
    misfit = stores.monitor("quality", "20260112T000000Z", None)

    assert "4 violations in 2 of 4 features" in text(monitor_page.page(first))
    assert monitor_page.verdict(misfit, misfit.run).startswith("1 violation (")
    assert "of 5 features" not in text(monitor_page.page(misfit))
    assert misfit.found.violations[0].description.endswith("drift of 1 column is held back.")


def test_it_is_accepted_on_the_page(server, stores, actions):
    given = {"monitor": "quality", "reason": "it stays"}

    assert actions.run("accept", {**given, "reason": ""}) == (400, "reason: expected a text")
    status, said = actions.run("accept", given)

    assert (status, said.split(";")[0]) == (200, "Accepted")
    found = server.client.get("/api/v1/monitors/quality/commission").json()
    assert (found["state"], found["accepted_by"]) == ("accepted", system_user())
    assert stores.monitor("quality", THIRD, None).warm_up is None
    assert next(one for one in stores.overview().monitors if one.name == "quality").suppressed == ()


def test_the_proposed_baseline_is_made_on_the_page(server, stores, actions):
    stable = stores.monitor("quality", THIRD, None).warm_up.stable
    given = {"monitor": "quality", "from": stable.start.isoformat(), "to": stable.end.isoformat()}

    status, said = actions.run("rebase", given)

    assert status == 200
    assert "new version of 1,440 captured rows" in said
    assert judge(server, 2)["status"] == "Completed"
    assert stores.monitor("quality", THIRD, None).warm_up is None
