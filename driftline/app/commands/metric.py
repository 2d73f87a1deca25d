"""Commands about metrics: put datapoints, list metrics, statistics, metric math."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.metric_data import data, moment
from driftline.app.commands.metric_names import require_metric
from driftline.errors import InputError

metric = typer.Typer(help="Put and read metrics.", no_args_is_help=True)

Dimension = Annotated[
    list[str] | None,
    typer.Option("-d", "--dimension", metavar="NAME=VALUE", help="A dimension; repeatable."),
]
Unit = Annotated[str | None, typer.Option("--unit", help='A unit such as "Count".')]


@metric.command()
@options.with_server
def put(
    namespace: Annotated[str | None, typer.Argument(help="Namespace of the metric.")] = None,
    name: Annotated[str | None, typer.Argument(help="Name of the metric.")] = None,
    value: Annotated[
        list[float] | None, typer.Argument(help="One value, or several of the same time.")
    ] = None,
    dimension: Dimension = None,
    unit: Unit = None,
    time: Annotated[
        str | None,
        typer.Option("--time", help="A time, or such as 5m ago; now when left out."),
    ] = None,
    high_resolution: Annotated[
        bool, typer.Option("--high-resolution", help="Keep it by the second.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="PutMetricData's body as JSON, in place of all else."),
    ] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Add a datapoint to a metric; a new metric begins by it.

    Example: driftline metric put shop orders 17 -d region=north
    """
    if file is not None:
        namespace, points = _read(file)
    elif namespace is None or name is None or not value:
        raise InputError("expected NAMESPACE NAME VALUE, or --file")
    else:
        now = datetime.now(UTC)
        point: dict[str, Any] = {
            "metric_name": name,
            "dimensions": _pairs(dimension),
            "timestamp": (now if time is None else moment(time, now, "--time")).isoformat(),
            "storage_resolution": 1 if high_resolution else 60,
            **({"value": value[0]} if len(value) == 1 else {"values": value}),
            **({"unit": unit} if unit else {}),
        }
        points = [point]
    with server.connect() as client:
        stored = client.put_metrics(namespace, points)
    if as_json:
        options.show_json({"stored": stored})
    else:
        typer.echo(f"stored {stored} datapoint{'s' if stored != 1 else ''} in {namespace}")


@metric.command("list")
@options.with_server
def list_(
    namespace: Annotated[str | None, typer.Argument(help="Only this namespace.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only metrics of this name.")] = None,
    dimension: Annotated[
        list[str] | None,
        typer.Option("-d", "--dimension", metavar="NAME[=VALUE]", help="One it must have."),
    ] = None,
    recent: Annotated[
        bool, typer.Option("--recent", help="Only with data in the last three hours.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1000,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """List metrics that had data in the last two weeks.

    Example: driftline metric list AWS/SageMaker -d EndpointName=flights
    """
    wanted = [one.partition("=") for one in dimension or ()]
    with server.connect() as client:
        found = client.metrics(
            namespace=namespace,
            name=name,
            dimensions={key: text if sign else None for key, sign, text in wanted},
            only_recent=recent,
            limit=limit,
        )
    if as_json:
        options.show_json(found)
        return
    rows = [
        {**one, "dimensions": " ".join(f"{key}={text}" for key, text in one["dimensions"].items())}
        for one in found
    ]
    options.show_table(["namespace", "metric_name", "dimensions"], rows)


@metric.command()
@options.with_server
def stats(
    namespace: Annotated[str, typer.Argument(help="Namespace of the metric.")],
    name: Annotated[str, typer.Argument(help="Name of the metric.")],
    dimension: Dimension = None,
    stat: Annotated[
        list[str] | None, typer.Option("--stat", help="Such as Average, p99, TM(10%:90%).")
    ] = None,
    period: Annotated[int, typer.Option("--period", help="Seconds.")] = 60,
    since: Annotated[
        str, typer.Option("--from", help="Start: a time, or how long ago, such as 3h.")
    ] = "3h",
    until: Annotated[str | None, typer.Option("--to", help="End; now when left out.")] = None,
    unit: Unit = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Show statistics of a metric, period by period.

    Example: driftline metric stats AWS/SageMaker ModelLatency -d EndpointName=flights --stat p99
    """
    wanted = stat or ["Average"]
    dimensions = _pairs(dimension)
    now = datetime.now(UTC)
    end = now if until is None else moment(until, now, "--to")
    with server.connect() as client:
        found = client.metric_statistics(
            namespace,
            name,
            moment(since, end, "--from"),
            end,
            period=period,
            statistics=wanted,
            dimensions=dimensions,
            unit=unit,
        )
        if not found:
            require_metric(client, namespace, name, dimensions, now=now)
    if as_json:
        options.show_json(found)
        return
    rows = [{**one, **one.get("extended_statistics", {})} for one in found]
    names = {"SampleCount": "sample_count"}
    columns = [names.get(one, one if one not in _PLAIN else one.lower()) for one in wanted]
    options.show_table(["timestamp", "unit", *columns], rows)
    if not rows:
        typer.echo("no datapoints")


metric.command()(data)

_PLAIN = ("Average", "Sum", "Minimum", "Maximum")


def _pairs(given: list[str] | None) -> dict[str, str]:
    found = {}
    for one in given or ():
        name, sign, value = one.partition("=")
        if not sign:
            raise InputError(f'--dimension "{one}"; expected NAME=VALUE')
        found[name] = value
    return found


def _read(file: Path) -> tuple[str, list[dict[str, Any]]]:
    try:
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file}: no JSON ({error})") from error
    if isinstance(found, dict):
        named = {key.replace("_", "").lower(): value for key, value in found.items()}
        namespace, points = named.get("namespace"), named.get("metricdata")
        if isinstance(namespace, str) and isinstance(points, list):
            return namespace, points
    raise InputError(f'{file}: expected {{"Namespace": …, "MetricData": […]}}')
