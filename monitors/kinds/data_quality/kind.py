"""The kind "data-quality" as one value: what it reads, publishes and shows."""

from __future__ import annotations

from driftline.monitors.kind import DAILY, Kind

KIND = Kind(
    name="data-quality",
    evaluation="driftline.monitors.kinds.data_quality.evaluation",
    compat_evaluation="driftline.monitors.sagemaker.evaluation",
    judges_columns=True,
    namespace="aws/sagemaker/Endpoints/data-metrics",
    schedule=DAILY,
    default_alarms=(
        {
            "title": "broken input",
            "alarm_description": "Input that no season explains: new levels, other units.",
            "metric_name": "pages",
            "severity": "page",
            "treat_missing_data": "notBreaching",
        },
        {
            "title": "no traffic judged",
            "alarm_description": "A day passed without a row that the monitor could judge.",
            "metric_name": "rows",
            # A day without captured rows is judged as 0 rows; before the first is over,
            # nothing is wrong yet.
            "comparison_operator": "LessThanThreshold",
            "threshold": 1.0,
            "severity": "page",
            "treat_missing_data": "ignore",
        },
        {
            "title": "drift",
            "alarm_description": "Data differ in a way that no day before has told.",
            # The monitor itself sees to false alarms, and tells a cause once however long it lasts.
            "metric_name": "new_tickets",
            "severity": "ticket",
            # After a gap it is in OK, so that the next new cause is heard.
            "treat_missing_data": "notBreaching",
            "evaluation_range": 1,
        },
    ),
    is_deployable=lambda roles, has_model: True,
)
