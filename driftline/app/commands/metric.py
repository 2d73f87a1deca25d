"""Commands about metrics, and detectors that learn what is usual for one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer

detector = options.Group(help="Learn what is usual for a metric, for alarms beside a band.")
metric = options.Group(help="Put and read metrics.")

Unit = Annotated[str | None, 'A unit such as "Count".']
Namespace = Annotated[str, "Namespace of the metric."]
Name = Annotated[str, "Name of the metric."]


@metric.command()
def put(
    client: Client,
    namespace: Namespace,
    name: Name,
    value: Annotated[list[float], "One value, or several of the same time."],
    dimension: options.Dimensions = None,
    unit: Unit = None,
    time: Annotated[str | None, "A time, or such as 5m ago; now when left out."] = None,
) -> Answer:
    """Add a datapoint to a metric; a new metric begins by it.

    Example: driftline metric put shop orders 17 -d region=north
    """
    now = datetime.now(UTC)
    point: dict[str, Any] = {
        "metric_name": name,
        "dimensions": options.pairs(dimension, "--dimension"),
        "timestamp": (moment(time, "--time", end=now) or now).isoformat(),
        **({"value": value[0]} if len(value) == 1 else {"values": value}),
        **({"unit": unit} if unit else {}),
    }
    stored = client.put_metrics(namespace, [point])
    return Answer({"stored": stored}, [f"stored {stored} in {namespace}"])


@metric.command()
def stats(
    client: Client,
    namespace: Namespace,
    name: Name,
    dimension: options.Dimensions = None,
    stat: Annotated[list[str] | None, "Such as Average, p99, TM(10%:90%); repeatable."] = None,
    period: Annotated[int, "Seconds."] = 60,
    since: Annotated[str, "--from TIME", "Start: a time, or how long ago, such as 3h."] = "3h",
    until: Annotated[str | None, "--to TIME", "End; now when left out."] = None,
    unit: Unit = None,
) -> Answer:
    """Show statistics of a metric, period by period.

    Example: driftline metric stats AWS/SageMaker ModelLatency -d EndpointName=flights --stat p99
    """
    now = datetime.now(UTC)
    end = moment(until, "--to", end=now) or now
    found = client.metric_statistics(
        namespace,
        name,
        moment(since, "--from", end=end),
        end,
        period=period,
        extended_statistics=stat or ["Average"],
        dimensions=options.pairs(dimension, "--dimension"),
        unit=unit,
    )["datapoints"]
    rows = [
        {**one, "extended_statistics": None, **(one.get("extended_statistics") or {})}
        for one in found
    ]
    none = ["no datapoints; driftline metric list shows all dimensions"]
    return Answer(found, lines_of(rows) if rows else none)


add_operations(detector, "detector")
add_operations(metric, "metric")
