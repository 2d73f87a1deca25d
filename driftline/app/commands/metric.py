"""Commands about metrics, and detectors that learn what is usual for one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.files import read_resources
from driftline.app.commands.operations import add_operations, lines_of, text_of
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, Table
from driftline.errors import InputError

detector = options.Group(help="Learn what is usual for a metric, for alarms beside a band.")
metric = options.Group(help="Put and read metrics.")

Unit = Annotated[str | None, typer.Option("--unit", help='A unit such as "Count".')]
Since = Annotated[str, typer.Option("--from", help="Start: a time, or how long ago, such as 3h.")]
Until = Annotated[str | None, typer.Option("--to", help="End; now when left out.")]
_DETECTORS = (
    "id state=state_value metric=single_metric_anomaly_detector math=metric_math_anomaly_detector"
)
_PLAIN = ("Average", "Sum", "Minimum", "Maximum")


@metric.command()
def put(
    client: Client,
    namespace: Annotated[str, typer.Argument(help="Namespace of the metric.")],
    name: Annotated[str, typer.Argument(help="Name of the metric.")],
    value: Annotated[list[float], typer.Argument(help="One value, or several of the same time.")],
    dimension: options.Dimensions = None,
    unit: Unit = None,
    time: Annotated[
        str | None,
        typer.Option("--time", help="A time, or such as 5m ago; now when left out."),
    ] = None,
    high_resolution: Annotated[
        bool, typer.Option("--high-resolution", help="Keep it by the second.")
    ] = False,
) -> Answer:
    """Add a datapoint to a metric; a new metric begins by it.

    Example: driftline metric put shop orders 17 -d region=north
    """
    now = datetime.now(UTC)
    point: dict[str, Any] = {
        "metric_name": name,
        "dimensions": options.pairs(dimension, "--dimension"),
        "timestamp": (moment(time, "--time", end=now) or now).isoformat(),
        "storage_resolution": 1 if high_resolution else 60,
        **({"value": value[0]} if len(value) == 1 else {"values": value}),
        **({"unit": unit} if unit else {}),
    }
    stored = client.put_metrics(namespace, [point])
    return Answer({"stored": stored}, [f"stored {stored} in {namespace}"])


@metric.command()
def stats(
    client: Client,
    namespace: Annotated[str, typer.Argument(help="Namespace of the metric.")],
    name: Annotated[str, typer.Argument(help="Name of the metric.")],
    dimension: options.Dimensions = None,
    stat: Annotated[
        list[str] | None, typer.Option("--stat", help="Such as Average, p99, TM(10%:90%).")
    ] = None,
    period: Annotated[int, typer.Option("--period", help="Seconds.")] = 60,
    since: Since = "3h",
    until: Until = None,
    unit: Unit = None,
) -> Answer:
    """Show statistics of a metric, period by period.

    Example: driftline metric stats AWS/SageMaker ModelLatency -d EndpointName=flights --stat p99
    """
    wanted = stat or ["Average"]
    dimensions = options.pairs(dimension, "--dimension")
    now = datetime.now(UTC)
    end = moment(until, "--to", end=now) or now
    found = client.metric_statistics(
        namespace,
        name,
        moment(since, "--from", end=end),
        end,
        period=period,
        extended_statistics=wanted,
        dimensions=dimensions,
        unit=unit,
    )["datapoints"]
    rows = [
        {**one, **(one.get("extended_statistics") or {}), "timestamp": text_of(one["timestamp"])}
        for one in found
    ]
    names = {"SampleCount": "sample_count"}
    columns = [names.get(one, one.lower() if one in _PLAIN else one) for one in wanted]
    return Answer(found, _told(Table(["timestamp", "unit", *columns], rows)))


@metric.command()
def data(
    client: Client,
    expression: Annotated[
        list[str] | None,
        typer.Argument(help='Metric math over the queries of --file, such as "m1 / m2 * 100".'),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="Queries as GetMetricData takes them, YAML or JSON."),
    ] = None,
    since: Since = "3h",
    until: Until = None,
) -> Answer:
    """Ask metrics and metric math, as GetMetricData does.

    Example: driftline metric data -f queries.yaml "RATE(m1)" --from 1d
    """
    queries = _queries(file, expression or [])
    now = datetime.now(UTC)
    end = moment(until, "--to", end=now) or now
    start = moment(since, "--from", end=end)
    found = client.metric_data(queries, start, end, newest_first=False)
    parts: list[str | Table] = []
    for result in found:
        times = zip(result["timestamps"], result["values"], strict=True)
        rows = [{"time": text_of(time), "value": value} for time, value in times]
        title = f"{result['id']}  {result['label']}"
        parts += _told(Table(["time", "value"], rows, title=title))
    return Answer(found, parts)


def _told(table: Table) -> list[str | Table]:
    return [table if table.rows else "no datapoints; driftline metric list shows all dimensions"]


def _queries(file: Path | None, expressions: list[str]) -> list[dict[str, Any]]:
    """Read the queries of the file; expressions beside them are wanted in place of them."""
    if file is None:
        raise InputError("no queries; expected --file with a list of {id, metric_stat}")
    found = read_resources(file)
    if len(found) == 1 and "metric_data_queries" in found[0]:
        found = found[0]["metric_data_queries"]
    if expressions:
        found = [{**one, "return_data": False} for one in found]
        for one in found:
            one.pop("ReturnData", None)
    return found + [
        {"id": f"expression{number}", "expression": one, "label": one}
        for number, one in enumerate(expressions, 1)
    ]


@detector.command("put")
def put_detector(
    client: Client,
    metric: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAMESPACE NAME]", help="The metric; or else --file."),
    ] = None,
    stat: Annotated[str, typer.Option("--stat", help="Its statistic, e.g. Average, p99.")] = (
        "Average"
    ),
    dimension: Annotated[
        list[str] | None,
        typer.Option("-d", "--dimension", metavar="NAME=VALUE", help="Each of its dimensions."),
    ] = None,
    period: Annotated[int, typer.Option("--period", help="Seconds.")] = 300,
    zone: Annotated[
        str, typer.Option("--zone", help="Time zone of its hours and free days.")
    ] = "UTC",
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="YAML or JSON in PutAnomalyDetector's form."),
    ] = None,
) -> Answer:
    """Put a detector on a metric, or those of a file; each is trained within seconds.

    Example: driftline detector put Shop Orders -d Shop=north --stat Sum
    """
    if file is not None:
        wanted = read_resources(file)
    elif metric is None or len(metric) != 2:
        raise InputError("no metric; expected NAMESPACE and NAME, or --file")
    else:
        wanted = [
            {
                "single_metric_anomaly_detector": {
                    "namespace": metric[0],
                    "metric_name": metric[1],
                    "dimensions": options.pairs(dimension, "--dimension"),
                    "stat": stat,
                },
                "period": period,
                "configuration": {"metric_timezone": zone},
            }
        ]
    found = [client.put_detector(detector) for detector in wanted]
    return Answer(found, lines_of(found, _DETECTORS))


add_operations(
    detector,
    "detector",
    {
        "list": lambda found, _: lines_of(found, _DETECTORS),
        "delete": lambda _, asked: [f"deleted detector {asked['detector_id']}"],
    },
)
add_operations(metric, "metric")
