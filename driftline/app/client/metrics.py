"""What a client can ask of metrics beside the operations of the table."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from driftline.app.client.connection import Json
from driftline.app.client.operation_calls import OperationCalls

# As botocore does: below this, deflating costs more than it saves.
_DEFLATE_FROM = 10_240


class MetricCalls(OperationCalls):
    """Calls about metrics that send bytes, or ask one operation page after page."""

    def put_metrics(
        self, namespace: str, data: Sequence[Mapping[str, Any]], *, request_id: str | None = None
    ) -> int:
        """Add datapoints as PutMetricData does; give how many were stored."""
        body = json.dumps({"Namespace": namespace, "MetricData": [dict(one) for one in data]})
        content = body.encode()
        headers = {
            "content-type": "application/json",
            "idempotency-key": request_id or str(uuid.uuid4()),
        }
        if len(content) > _DEFLATE_FROM:
            content = gzip.compress(content)
            headers["content-encoding"] = "gzip"
        path = "/api/v1/metrics"
        return int(self._json("POST", path, content=content, headers=headers)["stored"])

    def metric_data(
        self,
        queries: Sequence[Mapping[str, Any]],
        start: datetime,
        end: datetime,
        *,
        newest_first: bool = True,
    ) -> list[Json]:
        """Ask metrics and metric math, as GetMetricData does; all pages."""
        found: list[Json] = []
        token: str | None = None
        while True:
            page = self.get_metric_data(
                [dict(query) for query in queries], start, end,
                scan_by="TimestampDescending" if newest_first else "TimestampAscending",
                next_token=token,
            )  # fmt: skip
            for part in page["metric_data_results"]:
                last = found[-1] if found else None
                # A result that was cut goes on at the top of the next page.
                if last and last["status_code"] == "PartialData" and _is_same(last, part):
                    last["timestamps"] += part["timestamps"]
                    last["values"] += part["values"]
                    last["status_code"] = part["status_code"]
                else:
                    found.append(part)
            token = page["next_token"]
            if token is None:
                return found
            _drop_unbegun(found)


def _is_same(one: Json, other: Json) -> bool:
    return (one["id"], one["label"]) == (other["id"], other["label"])


def _drop_unbegun(found: list[Json]) -> None:
    """Drop results at the end that the next page tells whole."""
    while found and found[-1]["status_code"] == "PartialData" and not found[-1]["values"]:
        found.pop()
