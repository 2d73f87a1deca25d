"""A server with something of everything, and a tour that calls each operation once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from driftline.access.principal import Principal
from driftline.access.tokens import begin_session
from driftline.capture.audit.audit import audit
from driftline.capture.audit.note import document_of, write_note
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.resources.reach import Reach
from tests.capture.events.event_tools import attributes
from tests.capture.sagemaker.sagemaker_tools import sample_lines
from tests.serving.conftest import NOW, Running, resource, wait_for
from tests.serving.judged import marked

SPAN = {"from": "2026-01-12T00:00:00Z", "to": "2026-01-13T00:00:00Z"}
HOUR = {"start_time": "2026-01-15T05:00:00Z", "end_time": "2026-01-15T06:00:00Z"}
METRIC = {"namespace": "Shop", "metric_name": "Orders", "dimensions": {"Region": "north"}}
ALARM = {
    **METRIC,
    "statistic": "Sum",
    "period": 60,
    "evaluation_periods": 1,
    "threshold": 100,
    "comparison_operator": "GreaterThanThreshold",
    "alarm_actions": ["pager"],
}
POINTS = [
    {"Timestamp": f"2026-01-15T05:5{minute}:00Z", "Value": value}
    for minute, value in enumerate((90, 120))
]
REPLAY = {
    "alarm": {**ALARM, "alarm_name": "orders"},
    "start": "2026-01-15T05:50:00Z",
    "end": "2026-01-15T05:52:00Z",
}
CSV = {"content-type": "text/csv"}


@dataclass
class Tour:
    """Calls, in an order in which each of them succeeds; what was asked and answered is kept."""

    server: Running
    calls: dict[str, tuple[httpx.Request, httpx.Response]] = field(default_factory=dict)

    def __call__(self, operation: str, *parts: str, **request: Any) -> Any:
        """Call an operation such as ``GET /healthz``, parts in place of what is in braces."""
        method, template = operation.split(" ")
        path = template
        for part in parts:
            before, _, rest = path.partition("{")
            path = before + part + rest.partition("}")[2]
        answer = self.server.client.request(method, path, **request)
        assert answer.is_success, f"{operation}: {answer.status_code} {answer.text}"
        self.calls[operation] = answer.request, answer
        is_json = answer.headers.get("content-type", "").endswith("/json")
        return answer.json() if is_json and answer.content else answer.text

    def api(self, operation: str, *parts: str, **request: Any) -> Any:
        """Call an operation below /api/v1, such as ``GET /monitors/{name}/marks``."""
        return self(operation.replace(" ", " /api/v1", 1), *parts, **request)


@contextmanager
def populated(folder: Path) -> Iterator[Running]:
    """Run a server on which every operation has something to answer with."""
    outputs = folder / "outputs"
    reach = Reach(outputs=(str(outputs),))
    serverless = {"memory_size_in_mb": 1024, "max_concurrency": 2}
    variant = {
        "variant_name": "AllTraffic", "model_name": "flights", "serverless_config": serverless,
    }  # fmt: skip
    with marked(folder, commands={"page": "/bin/cat"}, reach=reach) as server:
        server.must_apply(
            resource("Channel", "pager", type="command", command="page"),
            resource("Alarm", "orders", **ALARM),
            resource("CompositeAlarm", "shop", alarm_rule="ALARM(orders)"),
            resource(
                "EndpointConfig",
                "nightly",
                production_variants=[variant],
                async_inference_config={"output_config": {"s3_output_path": f"{outputs}/nightly"}},
            ),
            resource("Endpoint", "nightly", config="nightly", baseline="flights"),
            resource("Silence", "roll-out", matchers=["alarm=orders"], ends_at="2999-01-01"),
        )
        wait_for(lambda: server.client.get("/readyz").is_success)  # Its models are loaded.
        printed = LogFile(server.context.model_logs_of("flights"), "AllTraffic")
        printed.write(4711, ["loaded 3 lookup tables", "no airport XNA, taking the mean"])
        write_note(server.context.root, document_of(audit(server.context.root, now=lambda: NOW)))
        yield server


def tour(server: Running) -> dict[str, tuple[httpx.Request, httpx.Response]]:
    """Call every operation once; return request and answer of each, by method and path."""
    call = Tour(server)
    _look_around(call)
    _visit_capture(call)
    _visit_monitors(call)
    _visit_baselines(call)
    _visit_metrics(call)
    _visit_alarms(call)
    _visit_notifications(call)
    _visit_access(call)
    _visit_transforms(call)
    _visit_deployments(call)
    call.api("POST /apply", json={"resources": [resource("Alarm", "spare", **ALARM)]})
    call.api("DELETE /{collection}/{name}", "alarms", "spare")
    return call.calls


def _look_around(call: Tour) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        call(f"GET {path}")
    call.api("GET /installation")
    call.api("GET /{collection}", "endpoints")
    call.api("GET /{collection}/{name}", "monitors", "quality")


def _visit_access(call: Tour) -> None:
    call.api("GET /whoami")
    call.api("POST /tokens", json={"name": "ci", "roles": ["viewer"], "endpoints": ["flights"]})
    call.api("GET /tokens")
    call.api("DELETE /tokens/{name}", "ci")
    call.api("POST /access-keys", json={"name": "ci", "roles": ["viewer"]})
    call.api("GET /access-keys")
    call.api("DELETE /access-keys/{name}", "ci")
    with call.server.engine.begin() as connection:
        ana = Principal("ana@example.org", frozenset({"viewer"}), via="oidc")
        begin_session(connection, ana, NOW, timedelta(hours=12))
    call.api("DELETE /sessions/{subject}", "ana@example.org")
    call.api("GET /audit")


def _visit_deployments(call: Tour) -> None:
    traffic = {"type": "ALL_AT_ONCE", "wait_interval_in_seconds": 3600}
    policy = {"blue_green_update_policy": {"traffic_routing_configuration": traffic}}
    declared = {"model": "flights", "deployment_config": policy}
    server = call.server
    server.apply(resource("Endpoint", "staged", **declared))
    changed = resource("Endpoint", "staged", variant="second", **declared)
    assert server.client.post("/api/v1/apply", json={"resources": [changed]}).is_success
    wait_for(lambda: server.client.get("/api/v1/endpoints/staged/deployment").is_success)
    call.api("GET /endpoints/{name}/deployment", "staged")
    call.api("POST /endpoints/{name}/deployment/stop", "staged")


def _visit_transforms(call: Tour) -> None:
    folder = call.server.root.parent
    source = {"s3_data_source": {"s3_uri": f"{folder}/train.parquet"}}
    job = {
        "transform_job_name": "march",
        "endpoint_name": "flights",
        "transform_input": {"data_source": source, "content_type": "application/x-parquet"},
        "transform_output": {"s3_output_path": f"{folder}/outputs/march"},
        "data_processing": {"join_source": "Input"},
    }
    call.api("POST /transform-jobs", json=job)
    call.api("GET /transform-jobs", params={"limit": 1})
    call.api("GET /transform-jobs/{name}", "march")
    call.api("POST /transform-jobs/{name}/stop", "march")
    baseline = {
        "processing_job_name": "suggest",
        "analyzer": "model-monitor",
        "processing_inputs": [
            {"name": "data", "s3_uri": f"{folder}/train.parquet", "local_path": "/data"}
        ],
        "processing_outputs": [
            {"name": "result", "s3_uri": f"{folder}/outputs/suggest", "local_path": "/output"}
        ],
        "environment": {"dataset_source": "/data", "dataset_format": '{"parquet": {}}'},
    }
    call.api("POST /processing-jobs", json=baseline)
    call.api("GET /processing-jobs", params={"limit": 1})
    call.api("GET /processing-jobs/{name}", "suggest")
    call.api("POST /processing-jobs/{name}/stop", "suggest")
    measured = {"job_name": "late", "model_name": "flights", "sample": f"{folder}/train.parquet"}
    call.api("POST /recommendation-jobs", json=measured)
    call.api("GET /recommendation-jobs", params={"limit": 1})
    call.api("GET /recommendation-jobs/{name}", "late")
    call.api("POST /recommendation-jobs/{name}/stop", "late")


def _visit_capture(call: Tour) -> None:
    rows = "UA,EWR,1400,39.02\nDL,JFK,760,41\n"
    call("POST /endpoints/{name}/invocations", "flights", content=rows, headers=CSV)
    tags = {"add": {"team": "pricing"}}
    call.api("POST /aws-tags/{kind}/{name}", "Endpoint", "flights", json=tags)
    call.api("GET /aws-tags/{kind}/{name}", "Endpoint", "flights")
    weight = {"variant_name": "AllTraffic", "desired_weight": 2}
    call.api("POST /endpoints/{name}/variants", "flights", json={"variants": [weight]})
    call.api("GET /endpoints/{name}/scaling-activities", "flights")
    asked = {**CSV, "x-amzn-sagemaker-inference-id": "customer-81"}
    call("POST /endpoints/{name}/async-invocations", "nightly", content=rows, headers=asked)
    call.api("GET /endpoints/{name}/async-invocations/{inference_id}", "nightly", "customer-81")
    call.api("GET /logs", params={"endpoint": "flights", "limit": 1})
    call.api("GET /capture")
    for path in ("", "/import", "/hours"):
        call.api(f"GET /endpoints/{{name}}/capture{path}", "flights")
    asked = {"hour": "2026-01-12T07:00:00Z"}
    call.api("GET /endpoints/{name}/capture/lines", "flights", params=asked)
    lines = b"\n".join(sample_lines("capture/capture.jsonl")[:1])
    media = {"content-type": "application/jsonlines"}
    call.api("POST /endpoints/{name}/capture/lines", "moved", content=lines, headers=media)
    labels = "id,label\n0c3c0f5e-8a3a-4b5e-9a66-2f8a6f5d3b11,1\n"
    call.api("POST /endpoints/{name}/truth", "flights", content=labels, headers=CSV)
    call.api("GET /endpoints/{name}/truth", "flights")
    call.api("POST /capture/erasures", json={"inference_ids": ["customer-81"], "dry_run": True})
    call("POST /v1/cloudevents", content=b'{"instances": [[6.8, 2.8]]}', headers=attributes("iris"))


def _visit_monitors(call: Tour) -> None:
    call.api("POST /monitors/{name}/backfill", "quality", json=SPAN)
    call.api("POST /monitors/{name}/queue", "quality", json={**SPAN, "whole": True})
    run = call.api("POST /monitors/{name}/run", "quality", json=SPAN)["id"]
    call.api("GET /monitors/{name}/executions", "quality", params={"limit": 1})
    call.api("GET /executions/{execution_id}", run)
    call.api("GET /executions/{execution_id}/log", run)
    call.api("GET /executions/{execution_id}/inputs", run)
    call.api("GET /executions/{execution_id}/report", run)
    call.api("GET /executions/{execution_id}/rows", run, params={"limit": 1})
    call.api("GET /executions/{execution_id}/violations/rows", run)
    waits = {"from": "2026-01-10T00:00:00Z", "to": "2026-01-11T00:00:00Z"}
    call.api("POST /monitors/{name}/cancel", "quality", json=waits)
    call.api("GET /monitors/{name}/progress", "quality")
    call.api("POST /monitors/{name}/backtest", "quality", json=SPAN)
    mark = {
        "window": "2026-01-12T00:00:00Z", "verdict": "expected", "feature": "carrier",
        "reason": "a new carrier", "author": "ada",
    }  # fmt: skip
    made = call.api("POST /monitors/{name}/marks", "quality", json=mark)["mark"]["id"]
    call.api("GET /monitors/{name}/marks", "quality")
    path = "POST /monitors/{name}/marks/{identity}/withdraw"
    call.api(path, "quality", str(made), json={"author": "ada"})
    call.api(
        "POST /monitors/{name}/baseline", "second", json={**SPAN, "to": "2026-01-14T00:00:00Z"}
    )


def _visit_baselines(call: Tour) -> None:
    asked = {**SPAN, "endpoint": "flights", "to": "2026-01-14T00:00:00Z"}
    call.api("POST /baselines/{name}/versions", "flights", json=asked)
    call.api("GET /baselines/{name}/versions", "flights")
    call.api("POST /baselines/{name}/promote", "flights", json={"version": "1"})


def _visit_metrics(call: Tour) -> None:
    named = {"MetricName": "Orders", "Dimensions": [{"Name": "Region", "Value": "north"}]}
    data = [{**named, **point} for point in POINTS]
    call.api("POST /metrics", json={"Namespace": "Shop", "MetricData": data})
    call.api("GET /metrics", params={"namespace": "Shop"})
    query = {"id": "m1", "metric_stat": {"metric": METRIC, "period": 60, "stat": "Sum"}}
    call.api("POST /metrics/data", json={"metric_data_queries": [query], **HOUR})
    asked = {**METRIC, **HOUR, "period": 300, "statistics": ["Sum", "Maximum"]}
    call.api("POST /metrics/statistics", json=asked)
    watched = {"single_metric_anomaly_detector": {**METRIC, "stat": "Sum"}}
    made = call.api("POST /detectors", json=watched)["id"]
    call.api("GET /detectors")
    call.api("DELETE /detectors/{detector_id}", made)


def _visit_alarms(call: Tour) -> None:
    call.api("POST /alarms/replay", json={**REPLAY, "datapoints": POINTS})
    state = {"state_value": "ALARM", "state_reason": "a drill"}
    call.api("PUT /alarms/{name}/state", "orders", json=state)
    call.api("GET /alarms/{name}/explain", "orders")
    call.api("GET /alarms/{name}/history", "orders")
    call.api("GET /alarm-states")
    call.api("GET /alarm-history")
    call.api("POST /alarms/actions", json={"names": ["orders"], "enabled": True})


def _visit_notifications(call: Tour) -> None:
    call.api("POST /channels/{name}/test", "pager")
    call.api("POST /channels/{name}/enable", "pager")
    call.api("GET /channels/{name}/log", "pager")
    (message,) = call.api("GET /deliveries", params={"alarm": "orders"})["items"]
    call.api("GET /deliveries/{message_id}", message["id"])
    call.api("POST /deliveries/{message_id}/redeliver", message["id"])
    spec = {"matchers": ["alarm=orders"], "ends_at": "2026-02-01T00:00:00Z"}
    call.api("POST /silences/preview", json={"spec": spec})
    call.api("POST /silences/{name}/expire", "roll-out")


def operations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return the operations of a document: method, path, and what it says of them."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, operation


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document by which nothing may be answered that it does not name.

    Without an error of the server's, and without fields beyond those of a form.
    """
    found = copy.deepcopy(document)
    for _, _, operation in operations_of(found):
        del operation["responses"]["5XX"]
    _close(found)
    return found


def _close(value: Any) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("properties"), dict) and "type" in value:
            value.setdefault("additionalProperties", False)
        value = [one for key, one in value.items() if key not in ("example", "examples")]
    if isinstance(value, list):
        for one in value:
            _close(one)
