"""Documents of replays, for tests of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from driftline.alerts.evaluation.replay import replay

START = datetime(2024, 1, 1, tzinfo=UTC)
SHARED = Path(__file__).parents[1] / "fixtures" / "alerts" / "cases.json"
CASES = json.loads(SHARED.read_text())["cases"]


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def document(values, *, period=60, start=0, end=None, more=None, **alarm):
    """Return a replay of one value a period, None for none."""
    fields = {
        "AlarmName": "drift",
        "Namespace": "shop",
        "MetricName": "errors",
        "Statistic": "Average",
        "Period": period,
        "EvaluationPeriods": 1,
        "Threshold": 0.5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    return {
        "alarm": fields | alarm,
        "datapoints": [
            {"Timestamp": at(period * place), "Value": value}
            for place, value in enumerate(values)
            if value is not None
        ],
        "start": at(start),
        "end": at(period * len(values) if end is None else end),
        **(more or {}),
    }


def states(found) -> list[str]:
    return [line.state for line in replay(found)]
