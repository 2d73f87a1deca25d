"""Versions of a baseline over HTTP: made of captured rows, declared, promoted."""

from __future__ import annotations

import pytest

from driftline.baseline import versions as baselines
from driftline.serving.provisioning import controllers
from driftline.serving.resources import store
from tests.serving.conftest import resource
from tests.serving.judged import marked

PATH, MONITOR = "/api/v1/baselines/flights", "/api/v1/monitors/second"
SPAN = {"from": "2026-01-12T00:00:00Z", "to": "2026-01-13T06:00:00Z"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a server of which one monitor follows the baseline, and one is pinned."""
    with marked(tmp_path_factory.mktemp("versions")) as found:
        watched = {"endpoint": "flights", "baseline": "flights@1"}
        found.must_apply(resource("Monitor", "stays", **watched))
        assert found.client.delete("/api/v1/monitors/quality").status_code == 204
        yield found


def in_use(server) -> list[str]:
    found = server.client.get("/api/v1/monitors").json()["items"]
    return [one["status"]["baseline_version"] for one in found]


def post(server, path, body):
    answer = server.client.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


def test_a_version_of_captured_rows_is_a_candidate_until_it_is_promoted(server):
    first, _ = before = in_use(server)
    made = post(server, f"{PATH}/versions", {"endpoint": "flights", **SPAN})
    between = in_use(server)
    again = {"monitor": "second", **SPAN, "promote": True}
    promoted = post(server, f"{PATH}/versions", again)
    after = in_use(server)
    back = post(server, f"{PATH}/promote", {"version": first})
    wrong = server.client.post(f"{PATH}/promote", json={"version": "3"})

    assert (made["row_count"], promoted["number"]) == (600, made["number"])
    assert (between, after) == (before, [made["version"], first])
    assert (back["before"], back["monitors"]) == (made["version"], ["second"])
    assert in_use(server) == before
    assert wrong.status_code == 404
    noted = server.client.get("/api/v1/audit", params={"target": "Baseline/flights"}).json()
    history = [
        tuple((one[side] or {}).get("version") for side in ("before", "after"))
        for one in noted["items"]
        if one["action"] == "promote"
    ]
    assert history[:2] == [(made["version"], first), (first, made["version"])]


def test_a_baseline_is_made_of_a_monitors_rows_and_used_from_then_on(server):
    first = in_use(server)[0]
    refused = server.client.post(f"{MONITOR}/baseline", json={**SPAN, "to": "2026-01-12T02:00:00Z"})
    made = post(server, f"{MONITOR}/baseline", {**SPAN, "to": "2026-01-15T00:00:00Z"})
    day = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}
    ran = post(server, f"{MONITOR}/run", day)
    post(server, f"{PATH}/promote", {"version": first})

    assert refused.status_code == 409
    assert made["row_count"] == 1440
    assert (ran["baseline_version"], ran["status"]) == (made["version"], "Completed")


def test_a_baseline_is_declared_of_captured_rows(server, declare):
    resource = declare("Baseline", "mid-january", data={"endpoint": "flights", **SPAN})

    answer, again = server.apply(resource), server.apply(resource)
    found = baselines.versions(server.context.root, "mid-january")
    later = {"endpoint": "flights", **SPAN, "to": "2999-01-01"}

    assert answer.status_code == 200, answer.text
    assert again.json()["changes"][0]["action"] == "unchanged"
    assert len(found) == 1
    assert server.apply(declare("Baseline", "later", data=later)).status_code == 400


def test_a_version_that_comes_into_use_while_another_is_fitted_stays_in_use(
    server, declare, monkeypatch
):
    make = controllers.MAKERS["Baseline"]

    async def meanwhile(context, row):
        found = await make(context, row)
        with server.engine.begin() as connection:
            now = store.get(connection, "Baseline", "flights")
            store.write(connection, now, made={**now.made, "version": "another"})
        return found

    with server.engine.connect() as connection:
        row = store.get(connection, "Baseline", "flights")
    monkeypatch.setitem(controllers.MAKERS, "Baseline", meanwhile)
    spec = {key: value for key, value in row.spec.items() if value not in (None, [])}

    answer = server.apply(declare("Baseline", "flights", **spec, exclude=["temp"]))

    assert answer.status_code == 400
    with server.engine.connect() as connection:
        assert store.get(connection, "Baseline", "flights").made["version"] == "another"
