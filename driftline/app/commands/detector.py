"""Commands about detectors of anomalies: what is usual for a metric, learnt from its history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.files import read_resources
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.errors import InputError

detector = options.Group(help="Learn what is usual for a metric, for alarms beside a band.")

_COLUMNS = (
    "id state=state_value metric=single_metric_anomaly_detector math=metric_math_anomaly_detector"
)


@detector.command("put")
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
    return Answer(found, lines_of(found, _COLUMNS))


add_operations(
    detector,
    "detector",
    {
        "list": lambda found, _: lines_of(found, _COLUMNS),
        "delete": lambda _, asked: [f"deleted detector {asked['detector_id']}"],
    },
)
