"""What a client can ask of metrics, metric math and detectors of anomalies."""

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
    """Calls about metrics, metric math and detectors."""

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

    def metrics(
        self,
        *,
        namespace: str | None = None,
        name: str | None = None,
        dimensions: Mapping[str, str | None] | None = None,
        only_recent: bool = False,
        limit: int | None = None,
    ) -> list[Json]:
        """List metrics that had data in the last two weeks, as ListMetrics does; all pages."""
        wanted = [
            key if value is None else f"{key}={value}" for key, value in (dimensions or {}).items()
        ]
        return self._items(
            "metrics", limit=limit, namespace=namespace, name=name, dimension=wanted or None,
            recently_active="PT3H" if only_recent else None,
        )  # fmt: skip

    def metric_statistics(
        self,
        namespace: str,
        name: str,
        start: datetime,
        end: datetime,
        *,
        period: int = 60,
        statistics: Sequence[str] = ("Average",),
        dimensions: Mapping[str, str] | None = None,
        unit: str | None = None,
    ) -> list[Json]:
        """Return statistics of one metric, plain and extended ones, as GetMetricStatistics does."""
        asked = {
            "namespace": namespace,
            "metric_name": name,
            "dimensions": dict(dimensions or {}),
            "start_time": start,
            "end_time": end,
            "period": period,
            "extended_statistics": list(statistics),
            "unit": unit,
        }
        return self._post("metrics", "statistics", body=asked)["datapoints"]

    def metric_data(
        self,
        queries: Sequence[Mapping[str, Any]],
        start: datetime,
        end: datetime,
        *,
        newest_first: bool = True,
        max_datapoints: int | None = None,
    ) -> list[Json]:
        """Ask metrics and metric math, as GetMetricData does; all pages."""
        asked: dict[str, Any] = {
            "metric_data_queries": [dict(query) for query in queries],
            "start_time": start,
            "end_time": end,
            "scan_by": "TimestampDescending" if newest_first else "TimestampAscending",
            "max_datapoints": max_datapoints,
        }
        found: list[Json] = []
        while True:
            page: Json = self._post("metrics", "data", body=asked)
            for part in page["metric_data_results"]:
                last = found[-1] if found else None
                # A result that was cut goes on at the top of the next page.
                if last and last["status_code"] == "PartialData" and _is_same(last, part):
                    last["timestamps"] += part["timestamps"]
                    last["values"] += part["values"]
                    last["status_code"] = part["status_code"]
                else:
                    found.append(part)
            asked["next_token"] = page["next_token"]
            if asked["next_token"] is None:
                return found
            _drop_unbegun(found)


def _is_same(one: Json, other: Json) -> bool:
    return (one["id"], one["label"]) == (other["id"], other["label"])


def _drop_unbegun(found: list[Json]) -> None:
    """Drop results at the end that the next page tells whole."""
    while found and found[-1]["status_code"] == "PartialData" and not found[-1]["values"]:
        found.pop()
