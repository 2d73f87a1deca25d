"""Baselines of captured rows: made for a monitor, as a candidate, or declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

DAY = datetime(2026, 1, 14, tzinfo=UTC)
PATH = "/api/v1/monitors/quality"


@pytest.fixture(scope="module")
def server(start, trained, declare, tmp_path_factory):
    """Return a server with three days of captured requests, of which some carriers are new."""
    with start(tmp_path_factory.mktemp("commission"), now=lambda: DAY + timedelta(days=3)) as found:
        answer = found.apply(
            *trained.flights(trust_event_time=True),
            declare("Monitor", "quality", endpoint="flights", baseline="flights"),
        )
        assert answer.status_code == 200, answer.text
        rows = trained.inputs.assign(carrier=np.where(trained.inputs.index % 5, "UA", "EVX"))
        found.send_hours(rows, DAY, 72)
        yield found


def judge(server, day: int) -> dict:
    window = {
        "from": (DAY + timedelta(days=day)).isoformat(),
        "to": (DAY + timedelta(days=day + 1)).isoformat(),
    }
    return server.client.post(f"{PATH}/run", json=window).json()


def test_a_baseline_is_made_of_captured_rows_and_used_from_then_on(server):
    few = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-14T02:00:00Z"}
    time = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-17T00:00:00Z"}

    refused = server.client.post(f"{PATH}/baseline", json=few)
    made = server.client.post(f"{PATH}/baseline", json=time).json()
    ran = judge(server, 2)

    assert refused.status_code == 409
    assert made["row_count"] == 1440
    assert ran["baseline_version"] == made["version"]
    assert ran["status"] == "Completed"


def test_a_version_of_captured_rows_is_a_candidate_until_it_is_promoted(server):
    time = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T06:00:00Z"}

    def in_use():
        return server.client.get("/api/v1/monitors/quality").json()["status"]["baseline_version"]

    path, before = "/api/v1/baselines/flights", in_use()
    made = server.client.post(f"{path}/versions", json={"endpoint": "flights", **time}).json()
    between = in_use()
    again = {"monitor": "quality", **time, "promote": True}
    promoted = server.client.post(f"{path}/versions", json=again).json()
    after = in_use()
    server.client.post(f"{path}/promote", json={"version": before})

    assert made["row_count"] == 600
    assert made["origin"]["endpoint"] == "flights"
    assert (between, after) == (before, made["version"])
    assert promoted["number"] == made["number"]


def test_a_baseline_is_declared_of_captured_rows(server, declare):
    span = {"endpoint": "flights", "from": "2026-01-14", "to": "2026-01-15T06:00:00Z"}
    resource = declare("Baseline", "mid-january", data=span)

    answer, again = server.apply(resource), server.apply(resource)
    found = server.client.get("/api/v1/baselines/mid-january/versions").json()["items"]
    later = server.apply(declare("Baseline", "later", data={**span, "to": "2999-01-01"}))

    assert answer.status_code == 200, answer.text
    assert again.json()["changes"][0]["action"] == "unchanged"
    assert [one["row_count"] for one in found] == [600]
    assert later.status_code == 400
