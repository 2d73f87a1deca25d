"""The client's methods are those of the operations."""

from __future__ import annotations

import driftline
from driftline.app.client import generate
from driftline.app.client.operation_table import operations
from driftline.serving.operations.registry import OPERATIONS

# Operations that no method calls, and who calls them.
OTHERS = {
    "GET /healthz": "an orchestrator",
    "GET /readyz": "an orchestrator",
    "GET /metrics": "Prometheus",
    "POST /v1/cloudevents": "KServe's logger",
}
# Bodies and answers that are no JSON: their methods are written by hand.
BY_HAND = {
    "POST /endpoints/{name}/invocations": "invoke",
    "POST /endpoints/{name}/async-invocations": "invoke_async",
    "POST /api/v1/endpoints/{name}/truth": "put_truth",
    "POST /api/v1/endpoints/{name}/capture/lines": "import_lines",
    "GET /api/v1/endpoints/{name}/capture/lines": "captured_lines",
    "POST /api/v1/metrics": "put_metrics",
    "GET /api/v1/executions/{execution_id}/violations/rows": "violation_rows",
}


def test_the_table_and_the_types_of_the_client_are_those_of_the_operations() -> None:
    assert generate.written() == tuple(one.read_text() for one in generate.FILES), (
        "run scripts/client"
    )


def test_every_operation_has_a_method_or_somebody_else_who_calls_it() -> None:
    made = {f"{one['method']} {one['path']}" for one in operations()}

    assert set(OPERATIONS) - made == {*OTHERS, *BY_HAND}
    assert all(hasattr(driftline.Client, one["name"]) for one in operations())
    assert all(hasattr(driftline.Client, name) for name in BY_HAND.values())
