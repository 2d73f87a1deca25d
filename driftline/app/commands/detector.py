"""Commands about detectors of anomalies: what is usual for a metric, learnt from its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.errors import InputError

detector = typer.Typer(
    help="Learn what is usual for a metric, for alarms beside a band.", no_args_is_help=True
)


@detector.command("put")
@options.asks_server
def put(
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
        from driftline.app.commands.resource_files import read_resources

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
    return Answer(found, [_table(found)])


def _described(found: Mapping[str, Any], _asked: Mapping[str, Any]) -> Iterator[str | Table]:
    yield _table([found])
    yield ""
    yield Table(["period", "state_value", "points", "has_seasons", "trained_at"], found["models"])
    for model in found["models"]:
        if model["problem"]:
            yield f"\nnot trained at {model['period']} s: {model['problem']}"


def _table(detectors: Sequence[Mapping[str, Any]]) -> Table:
    columns = ["id", "watches", "state"]
    rows = [(each["id"], _watched(each), each["state_value"]) for each in detectors]
    return Table(columns, [dict(zip(columns, row, strict=True)) for row in rows])


def _watched(detector: Mapping[str, Any]) -> str:
    if single := detector.get("single_metric_anomaly_detector"):
        dimensions = ",".join(f"{name}={value}" for name, value in single["dimensions"].items())
        return f"{single['namespace']} {single['metric_name']} {dimensions} {single['stat']}"
    queries = detector["metric_math_anomaly_detector"]["metric_data_queries"]
    return next(str(query.get("expression")) for query in queries if query["return_data"])


add_operations(
    detector,
    "detector",
    {
        "list": lambda found, _: [_table(found)],
        "get": _described,
        "delete": lambda _, asked: [f"deleted detector {asked['detector_id']}"],
    },
)
