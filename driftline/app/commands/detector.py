"""Commands about detectors of anomalies: what is usual for a metric, learnt from its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.errors import InputError

detector = typer.Typer(
    help="Learn what is usual for a metric, for alarms beside a band.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(help="Its id; `driftline detector list` shows them.")]


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
    return _answer([client.put_detector(detector) for detector in wanted])


@detector.command("list")
@options.asks_server
def list_all(
    client: Client,
    namespace: Annotated[str | None, typer.Option("--namespace", help="Only of these.")] = None,
    metric_name: Annotated[str | None, typer.Option("--metric", help="Only of this name.")] = None,
) -> Answer:
    """List detectors, and how far they are.

    Example: driftline detector list
    """
    return _answer(client.detectors(namespace=namespace, metric_name=metric_name))


@detector.command("get")
@options.asks_server
def get(client: Client, detector_id: Id) -> Answer:
    """Show one detector: what it watches, how it learns, what it has learnt.

    Example: driftline detector get 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    detector = client.detector(detector_id)
    columns = ["period", "state_value", "points", "has_seasons", "trained_at"]
    problems = [
        f"\nnot trained at {model['period']} s: {model['problem']}"
        for model in detector["models"]
        if model["problem"]
    ]
    return Answer(detector, [_table([detector]), "", Table(columns, detector["models"]), *problems])


@detector.command("delete")
@options.asks_server
def delete(client: Client, detector_id: Id) -> Answer:
    """Delete a detector; an alarm that needs it has it made again.

    Example: driftline detector delete 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    client.delete_detector(detector_id)
    return Answer({"deleted": [detector_id]}, [f"deleted detector {detector_id}"])


def _answer(detectors: Sequence[Mapping[str, Any]]) -> Answer:
    return Answer(detectors, [_table(detectors)])


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
