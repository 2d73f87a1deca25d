"""Every list of the interface comes in pages, and pages of one item add up to the list."""

from typing import get_args

import pytest

from driftline.serving.operations.registry import OPERATIONS
from driftline.serving.operations.resources import Collection
from tests.serving.api.tour import ALARM, POINTS, SPAN, populated
from tests.serving.conftest import resource

# What stands in the paths: a monitor, an endpoint, an alarm and a channel that have something.
NAMES = {
    "monitors": "quality", "endpoints": "flights", "alarms": "orders", "channels": "pager",
    "baselines": "flights",
}  # fmt: skip
# Reading lists is noted in the audit log, too, and the server measures itself meanwhile.
FILTERS = {
    "/api/v1/audit": {"target": "/api/v1/tokens"},
    "/api/v1/logs": {"endpoint": "flights"},
    "/api/v1/metrics": {"namespace": "Shop"},
}
WATCHED = {"namespace": "Shop", "metric_name": "Orders", "stat": "Sum"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run a server on which every list has several items."""
    with populated(tmp_path_factory.mktemp("paging")) as found:
        post = found.client.post
        answers = [
            found.apply(
                resource("Alarm", "orders/2", **ALARM),
                resource("Channel", "other", type="command", command="page"),
                resource("Silence", "second", matchers=["alarm=x"], ends_at="2999-01-01"),
                resource("CompositeAlarm", "Shop 2", alarm_rule="ALARM(orders)"),
                resource(
                    "EndpointConfig",
                    "second",
                    production_variants=[{"variant_name": "only", "model_name": "flights"}],
                ),
            ),
            post("/api/v1/monitors/quality/backfill", json={**SPAN, "to": "2026-01-15T00:00:00Z"}),
        ]
        for region in ("north", "south"):
            dimensions = [{"Name": "Region", "Value": region}]
            data = [{"MetricName": "Orders", "Dimensions": dimensions, **one} for one in POINTS]
            answers.append(post("/api/v1/metrics", json={"Namespace": "Shop", "MetricData": data}))
            watched = {**WATCHED, "dimensions": {"Region": region}}
            asked = {"single_metric_anomaly_detector": watched}
            answers.append(post("/api/v1/detectors", json=asked))
            answers.append(post("/api/v1/tokens", json={"name": region, "roles": ["viewer"]}))
            mark = {
                "window": SPAN["from"], "verdict": "expected", "feature": "carrier",
                "reason": region, "author": "ada",
            }  # fmt: skip
            answers.append(post("/api/v1/monitors/quality/marks", json=mark))
            answers.append(post("/api/v1/channels/pager/test"))
        for state in ("ALARM", "OK"):
            body = {"state_value": state, "state_reason": "a drill"}
            answers.append(found.client.put("/api/v1/alarms/orders/state", json=body))
        assert [one.text for one in answers if not one.is_success] == []
        yield found


LISTS = [
    one.key[4:].replace("{name}", NAMES.get(one.path.split("/")[3], ""))
    for one in OPERATIONS.values()
    if one.paging is not None
]


def test_pages_of_one_item_add_up_to_each_list(server):
    paths = [path for path in LISTS if "{collection}" not in path]
    short = []
    for path in [*paths, *(f"/api/v1/{kind}" for kind in get_args(Collection))]:
        whole = server.client.get(path, params=FILTERS.get(path, {}) | {"limit": 1000}).json()
        found = walk(server, path)
        assert found == whole["items"], path
        assert whole["next_token"] is None, path
        if len(found) < 2:
            short.append(path)

    # Of all others there were two items or more to be told apart.
    ones = ["capture", "deliveries", "models", "baselines", "endpoints"]
    ones += ["transform-jobs"]
    ones += ["baselines/flights/versions", "endpoints/flights/capture/hours"]
    assert set(short) <= {f"/api/v1/{one}" for one in ones}


def walk(server, path):
    """Return what pages of one item give."""
    found, token = [], None
    while True:
        asked = FILTERS.get(path, {}) | {"limit": 1}
        asked |= {} if token is None else {"next_token": token}
        page = server.client.get(path, params=asked).json()
        found += page["items"]
        assert len(page["items"]) <= 1
        if (token := page["next_token"]) is None:
            return found


def test_a_wrong_token_is_refused_by_every_list(server):
    for path in LISTS:
        for token in ("x", "a" * 2001, "%00"):
            asked = FILTERS.get(path, {}) | {"next_token": token}
            answer = server.client.get(path.replace("{collection}", "alarms"), params=asked)
            assert answer.status_code == 400, path
