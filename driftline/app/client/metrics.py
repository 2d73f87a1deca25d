"""What a client can ask of metrics: put datapoints, list them, statistics."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from driftline.app.client.connection import ServerCalls

# As botocore does: below this, deflating costs more than it saves.
_DEFLATE_FROM = 10_240
_PAGE = 500


class MetricCalls(ServerCalls):
    """Calls about metrics."""

    def put_metrics(
        self, namespace: str, data: Sequence[Mapping[str, Any]], *, request_id: str | None = None
    ) -> int:
        """Add datapoints as PutMetricData does; give how many were stored."""
        body = json.dumps({"namespace": namespace, "metric_data": [dict(one) for one in data]})
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
    ) -> list[dict[str, Any]]:
        """List metrics that had data in the last two weeks, as ListMetrics does; all pages."""
        asked: dict[str, Any] = {}
        if namespace is not None:
            asked["namespace"] = namespace
        if name is not None:
            asked["name"] = name
        if dimensions:
            asked["dimension"] = [
                key if value is None else f"{key}={value}" for key, value in dimensions.items()
            ]
        if only_recent:
            asked["recently_active"] = "PT3H"
        found: list[dict[str, Any]] = []
        while limit is None or len(found) < limit:
            asked["limit"] = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = self._json("GET", "/api/v1/metrics", params=asked)
            found += page["items"]
            if page["next_token"] is None:
                break
            asked["next_token"] = page["next_token"]
        return found

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
    ) -> list[dict[str, Any]]:
        """Return statistics of one metric, plain and extended ones, as GetMetricStatistics does."""
        asked = {
            "namespace": namespace,
            "metric_name": name,
            "dimensions": dict(dimensions or {}),
            "start_time": start.isoformat(),
            "end_time": end.isoformat(),
            "period": period,
            "extended_statistics": list(statistics),
            "unit": unit,
        }
        path = "/api/v1/metrics/statistics"
        found: list[dict[str, Any]] = self._json("POST", path, json=asked)["datapoints"]
        return found
