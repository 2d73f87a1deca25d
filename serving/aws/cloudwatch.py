"""CloudWatch's metrics and detectors of anomalies, over our own operations on them."""

from __future__ import annotations

import gzip
import json
from typing import Any

from driftline.alerts.documents import from_aws, iso, time_of, to_aws
from driftline.alerts.math.detector import Configuration, Detector
from driftline.alerts.math.detectors import DetectorRecord
from driftline.alerts.metrics.questions import PAGE_MAX
from driftline.serving.aws.ours import every, page_of, token_for
from driftline.serving.aws.served import Answer, Given, Wire, serves
from driftline.serving.operations import alarms, metrics

_BODY_MAX = 1 << 20  # Of put_metrics, as sent.
_DETECTOR_TYPES = {"SINGLE_METRIC": False, "METRIC_MATH": True}


@serves("cloudwatch.PutMetricData")
async def put_metric_data(wire: Wire, given: Given) -> Answer:
    """Add datapoints, also those of entities."""
    body = json.dumps(given, default=iso, separators=(",", ":")).encode()
    # As CBOR it may have been shorter than the limit.
    is_long = len(body) > _BODY_MAX
    await wire.ask(
        metrics.put_metrics,
        body=gzip.compress(body, 1) if is_long else body,
        content_encoding="gzip" if is_long else "",
        idempotency_key=wire.call,
    )
    return {}


@serves("cloudwatch.ListMetrics")
async def list_metrics(wire: Wire, given: Given) -> Answer:
    """List metrics that had data in the last two weeks, or hours."""
    found = await wire.ask(
        metrics.metrics,
        namespace=given.get("Namespace"),
        name=given.get("MetricName"),
        dimension=[
            f"{one['Name']}={one['Value']}" if "Value" in one else one["Name"]
            for one in given.get("Dimensions", ())
        ],
        recently_active=given.get("RecentlyActive"),
        limit=PAGE_MAX,
        next_token=page_of(wire, given),
    )
    return {
        "Metrics": [to_aws(vars(one)) for one in found.items],
        "NextToken": token_for(wire, given, found.next_token),
    }


@serves("cloudwatch.GetMetricData")
async def get_metric_data(wire: Wire, given: Given) -> Answer:
    """Return one page of metrics and metric math."""
    asked = from_aws({key: one for key, one in given.items() if key != "LabelOptions"})
    found = await wire.ask(metrics.get_metric_data, **asked | {"next_token": page_of(wire, given)})
    results = [
        {
            "Id": one.id,
            "Label": one.label,
            "Timestamps": list(one.timestamps),
            "Values": list(one.values),
            "StatusCode": one.status_code,
            "Messages": [],
        }
        for one in found.metric_data_results
    ]
    token = token_for(wire, given, found.next_token)
    return {"MetricDataResults": results, "NextToken": token, "Messages": []}


@serves("cloudwatch.GetMetricStatistics")
async def get_metric_statistics(wire: Wire, given: Given) -> Answer:
    """Return statistics of one metric, period by period and unit by unit."""
    found = await wire.ask(metrics.metric_statistics, **from_aws(given))
    points = [{**one, "timestamp": time_of(one["timestamp"])} for one in found["datapoints"]]
    return {"Label": found["label"], "Datapoints": [to_aws(one) for one in points]}


@serves("cloudwatch.PutAnomalyDetector")
async def put_anomaly_detector(wire: Wire, given: Given) -> Answer:
    """Put a detector, which is trained within seconds."""
    await wire.ask(alarms.put_detector, document=_detector(given))
    return {}


@serves("cloudwatch.DescribeAnomalyDetectors")
async def describe_anomaly_detectors(wire: Wire, given: Given) -> Answer:
    """List detectors, all or those of a metric, of some dimensions and types."""
    wanted = from_aws(given)
    types = [_DETECTOR_TYPES[one] for one in wanted.get("anomaly_detector_types", _DETECTOR_TYPES)]
    found = await every(
        wire, alarms.detectors, namespace=wanted.get("namespace"),
        metric_name=wanted.get("metric_name"),
    )  # fmt: skip
    suited = [
        one
        for one in found
        if one.subject.is_expression in types
        and one.id in wanted.get("anomaly_detector_ids", [one.id])
        and ("dimensions" not in wanted or one.subject.watched.dimensions == wanted["dimensions"])
    ]
    shown, following = wire.page(given, lambda one: (one.id,), suited, size=50)
    return {"AnomalyDetectors": [_shown(one) for one in shown], "NextToken": following}


@serves("cloudwatch.DeleteAnomalyDetector")
async def delete_anomaly_detector(wire: Wire, given: Given) -> Answer:
    """Delete a detector by its id, or by what it watches."""
    key = given.get("AnomalyDetectorId") or Detector.from_dict(_detector(given)).subject.key
    await wire.ask(alarms.delete_detector, detector_id=key)
    return {}


def _detector(given: Given) -> dict[str, Any]:
    found = from_aws(given)
    for subject in (found, found.get("single_metric_anomaly_detector", {})):
        subject.pop("account_id", None)  # There is one account.
    return found


def _shown(record: DetectorRecord) -> Answer:
    subject, usual = record.subject.as_dict(), dict(Configuration())
    learning = {key: one for key, one in record.configuration if one != usual[key]}
    has_spikes = learning.pop("periodic_spikes", False)
    ranges = [dict(one) for one in learning.pop("excluded_time_ranges", ())]
    return to_aws(
        {
            # Of one metric both in the old form and in the new one.
            **subject.get("single_metric_anomaly_detector", {}),
            **subject,
            "anomaly_detector_id": record.id,
            "configuration": {"excluded_time_ranges": ranges, **learning},
            "metric_characteristics": {"periodic_spikes": True} if has_spikes else None,
            "state_value": record.state,
        }
    )
