"""CloudWatch's metrics and detectors of anomalies, and SageMaker's metrics, over our operations."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict

from driftline.alerts.documents import from_aws, iso, time_of, to_aws
from driftline.alerts.math.detector import Configuration, Detector
from driftline.alerts.math.detectors import DetectorRecord
from driftline.alerts.metrics.questions import PAGE_MAX
from driftline.serving.aws.ours import every, page_of, token_for
from driftline.serving.aws.served import Answer, Given, Wire, serves
from driftline.serving.operations import alarms, metrics

_TRIALS = "/aws/sagemaker/TrialComponents"
_DETECTOR_TYPES = {"SINGLE_METRIC": False, "METRIC_MATH": True}


@serves("cloudwatch.PutMetricData")
async def put_metric_data(wire: Wire, given: Given) -> Answer:
    """Add datapoints, also those of entities."""
    body = json.dumps(given, default=iso, separators=(",", ":")).encode()
    # Packed: as CBOR it may have been shorter than what the operation takes.
    await wire.ask(
        metrics.put_metrics, body=gzip.compress(body, 1), content_encoding="gzip",
        idempotency_key=wire.call,
    )  # fmt: skip
    return {}


@serves("sagemaker-metrics.BatchPutMetrics")
async def batch_put_metrics(wire: Wire, given: Given) -> Answer:
    """Add metrics of a trial component as datapoints; of a step its time alone is kept."""
    dimensions = [{"Name": "TrialComponentName", "Value": given["TrialComponentName"]}]
    data = [
        {key: one[key] for key in ("MetricName", "Timestamp", "Value")} | {"Dimensions": dimensions}
        for one in given["MetricData"]
    ]
    return await put_metric_data(wire, {"Namespace": _TRIALS, "MetricData": data})


@serves("cloudwatch.ListMetrics")
async def list_metrics(wire: Wire, given: Given) -> Answer:
    """List metrics that had data in the last two weeks, or hours."""
    found = await wire.ask(
        metrics.metrics, namespace=given.get("Namespace"), name=given.get("MetricName"),
        dimension=[
            f"{one['Name']}={one['Value']}" if "Value" in one else one["Name"]
            for one in given.get("Dimensions", ())
        ],
        recently_active=given.get("RecentlyActive"), limit=PAGE_MAX,
        next_token=page_of(wire, given),
    )  # fmt: skip
    return {
        "Metrics": [to_aws(vars(one)) for one in found.items],
        "NextToken": token_for(wire, given, found.next_token),
    }


@serves("cloudwatch.GetMetricData")
async def get_metric_data(wire: Wire, given: Given) -> Answer:
    """Return one page of metrics and metric math."""
    asked = from_aws(given) | {"next_token": page_of(wire, given)}
    asked.pop("label_options", None)
    found = await wire.ask(metrics.get_metric_data, **asked)
    results = [to_aws(asdict(one)) for one in found.metric_data_results]
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
    await wire.ask(alarms.put_detector, document=from_aws(given))
    return {}


@serves("cloudwatch.DescribeAnomalyDetectors")
async def describe_anomaly_detectors(wire: Wire, given: Given) -> Answer:
    """List detectors, all or those of a metric, of some dimensions and types."""
    found = await every(
        wire, alarms.detectors, namespace=given.get("Namespace"),
        metric_name=given.get("MetricName"),
    )  # fmt: skip
    types, wanted = given.get("AnomalyDetectorTypes", _DETECTOR_TYPES), from_aws(given)
    suited = [
        one
        for one in found
        if one.subject.is_expression in {_DETECTOR_TYPES[name] for name in types}
        and one.id in given.get("AnomalyDetectorIds", [one.id])
        and wanted.get("dimensions") in (None, one.subject.watched.dimensions)
    ]
    shown, following = wire.page(given, lambda one: (one.id,), suited, size=50)
    return {"AnomalyDetectors": [_shown(one) for one in shown], "NextToken": following}


@serves("cloudwatch.DeleteAnomalyDetector")
async def delete_anomaly_detector(wire: Wire, given: Given) -> Answer:
    """Delete a detector by its id, or by what it watches."""
    key = given.get("AnomalyDetectorId") or Detector.from_dict(from_aws(given)).subject.key
    await wire.ask(alarms.delete_detector, detector_id=key)
    return {}


def _shown(record: DetectorRecord) -> Answer:
    learning = {
        key: one
        for key, one in record.configuration
        if one != Configuration.model_fields[key].default
    }
    has_spikes = learning.pop("periodic_spikes", None)
    ranges = [dict(one) for one in learning.get("excluded_time_ranges", ())]
    subject = record.subject.as_dict()
    return to_aws(
        {
            **subject.get("single_metric_anomaly_detector", {}),
            **subject,  # Of one metric both in the old form and in the new one.
            "anomaly_detector_id": record.id,
            "configuration": {**learning, "excluded_time_ranges": ranges},
            "metric_characteristics": has_spikes and {"periodic_spikes": has_spikes},
            "state_value": record.state,
        }
    )  # fmt: skip
