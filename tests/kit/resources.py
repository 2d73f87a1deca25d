"""Resources as files declare them."""

from __future__ import annotations

from typing import Any

__all__ = ["alarm_on", "resource"]


def resource(kind: str, name: str, /, **spec: Any) -> dict[str, Any]:
    """Return one resource."""
    return {"kind": kind, "name": name, "spec": spec}


def alarm_on(monitor: str, channel: str, /, name: str | None = None, **spec: Any) -> dict[str, Any]:
    """Return an alarm that notifies a channel of the violations of a monitor."""
    usual = {
        "monitor": monitor, "metric_name": "violations", "statistic": "Maximum",
        "evaluation_periods": 1, "comparison_operator": "GreaterThanThreshold", "threshold": 0,
        "treat_missing_data": "notBreaching", "alarm_actions": [channel],
    }  # fmt: skip
    return resource("Alarm", name or f"{monitor}: violations", **{**usual, **spec})
