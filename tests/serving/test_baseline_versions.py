"""Versions of a baseline over HTTP and on the command line: listed, made, compared, promoted."""

from __future__ import annotations

import pytest

from driftline.baseline import store as baselines
from driftline.baseline.store import Baseline
from driftline.serving.provisioning import controllers
from driftline.serving.resources import store
from tests.serving.conftest import NOW, make_frame

PATH = "/api/v1/baselines/flights"


@pytest.fixture(scope="module")
def server(start, trained, declare, tmp_path_factory):
    """Return a server with a baseline of two versions, one monitor that follows and one pinned."""
    with start(tmp_path_factory.mktemp("versions")) as found:
        answer = found.apply(
            declare("Baseline", "flights", data=str(trained.reference), label="late"),
            declare("Endpoint", "flights", baseline="flights"),
            declare("Monitor", "follows", endpoint="flights", baseline="flights"),
            declare("Monitor", "stays", endpoint="flights", baseline="flights@1"),
        )
        assert answer.status_code == 200, answer.text
        frame = make_frame(seed=8).assign(temp=lambda one: one["temp"] + 30)
        made = Baseline.fit(frame, label="late")
        baselines.put(found.context.root, "flights", made, lambda: NOW, {"data": "by hand"})
        yield found


def versions_in_use(server) -> dict[str, str]:
    found = server.client.get("/api/v1/monitors").json()["items"]
    return {one["name"]: one["status"]["baseline_version"] for one in found}


def test_a_version_is_used_when_it_is_promoted_and_an_older_one_again(server):
    first, second = baselines.versions(server.context.root, "flights")
    before = versions_in_use(server)
    promoted = server.client.post(f"{PATH}/promote", json={"version": "2"}).json()
    between = versions_in_use(server)
    again = server.client.post(f"{PATH}/promote", json={"version": "2"}).json()
    server.client.post(f"{PATH}/promote", json={"version": first})
    wrong = server.client.post(f"{PATH}/promote", json={"version": "3"})

    assert before == {"follows": first, "stays": first}
    assert promoted == {
        "baseline": "flights", "before": first, "version": second, "monitors": ["follows"],
    }  # fmt: skip
    assert between == {"follows": second, "stays": first}
    assert again["monitors"] == []
    assert versions_in_use(server) == before
    assert wrong.status_code == 404
    assert f"the newest: 1 ({first}), 2 ({second})" in server.error_of(wrong)["message"]
    noted = server.client.get("/api/v1/audit", params={"target": "Baseline/flights"}).json()
    history = [
        tuple((one[side] or {}).get("version") for side in ("before", "after"))
        for one in noted["items"]
        if one["action"] == "promote"
    ]
    assert history[:2] == [(second, first), (first, second)]
    assert history[-1] == (None, first)


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
