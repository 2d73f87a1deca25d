"""An alarm that is to be made of a monitor's metric, and what it would have done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from driftline.alerts.alarms.composite_records import states_since
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.preview import Preview, preview_new
from driftline.alerts.notify.channels import list_channels
from driftline.dashboard.address import Address
from driftline.dashboard.queries.reach import is_limited
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import MonitorLine
from driftline.database.engine import read_connection
from driftline.errors import InputError, NotFoundError
from driftline.monitors.kind import OWN_METRICS, metric_place
from driftline.monitors.report.datapoints import DATA_METRICS, OWN
from driftline.monitors.report.metric_words import metric_words
from driftline.monitors.run.series import stored_metrics

OPERATORS = {"above": "GreaterThanThreshold", "below": "LessThanThreshold"}
"""On which side of its threshold an alarm fires."""


@dataclass(frozen=True, slots=True)
class NewAlarmView:
    """The form for an alarm on a metric, named in ``words``, with its preview."""

    asked: Address
    monitor: MonitorLine
    name: str
    words: str
    side: str
    channels: Sequence[str]
    preview: Preview
    is_there: bool = False


def read_new_alarm(stores: Stores, asked: Address) -> NewAlarmView:
    """Try an alarm on the metric that is asked for; NotFoundError where there is no such metric."""
    line, run = stores.judged(asked.monitor, None)
    namespace, metric, dimensions, is_low = _place(stores, line, asked.metric or "")
    side = asked.side if asked.side in OPERATORS else "below" if is_low else "above"
    words = metric_words(metric, dimensions)
    name, values = asked.alarm or f"{line.name}: {words} {side} its bound", dict(asked.preview)
    fields = {
        "alarm_name": name, "namespace": namespace, "metric_name": metric, "statistic": "Average",
        "dimensions": dimensions, "period": round((run.end - run.start).total_seconds()),
        "evaluation_periods": 1, "threshold": 0.0, "comparison_operator": OPERATORS[side],
        "severity": asked.severity or "page",
        "alarm_actions": [asked.channel] if asked.channel else [],
        "owner": line.definition.owner,
    }  # fmt: skip
    with read_connection(stores.engine) as connection:
        channels = () if is_limited() else [one.channel.name for one in list_channels(connection)]
        try:
            preview = preview_new(connection, AlarmDefinition.from_dict(fields), values)
        except InputError as error:
            preview = Preview(values, values, problem=str(error))
        is_there = not is_limited() and name in states_since(connection, [name])
    return NewAlarmView(asked, line, name, words, side, channels, preview, is_there)


def _place(stores: Stores, line: MonitorLine, metric: str) -> tuple[str, str, dict[str, str], bool]:
    """Return namespace, name and dimensions of a metric, and whether less of it is worse."""
    if metric and line.definition.kind_value.judges_columns:
        namespace = OWN_METRICS if metric in OWN else DATA_METRICS
        place, dimensions = metric_place(namespace, line.name, line.endpoint)
        return place, metric, dimensions, metric.startswith("feature_non_null_")
    chosen = stores.measured(line.name, None, metric).chosen
    with read_connection(stores.engine) as connection:
        row = next(stored_metrics(connection, line, chosen), None) if chosen else None
    if chosen is None or row is None:
        raise NotFoundError(f'metric "{metric}" of monitor "{line.name}" has no datapoint')
    return row.namespace, row.name, dict(row.dimensions), chosen.operator == "LessThanThreshold"
