"""Commands about detectors of anomalies: what is usual for a metric, learnt from its history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.errors import InputError

detector = typer.Typer(
    help="Learn what is usual for a metric, for alarms beside a band.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(help="Its id; `driftline detector list` shows them.")]


@detector.command("put")
@options.with_server
def put(
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
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
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
                    "dimensions": _dimensions(dimension or []),
                    "stat": stat,
                },
                "period": period,
                "configuration": {"metric_timezone": zone},
            }
        ]
    with server.connect() as client:
        found = [client.put_detector(one) for one in wanted]
    _show(found, as_json=as_json)


@detector.command("list")
@options.with_server
def list_all(
    namespace: Annotated[str | None, typer.Option("--namespace", help="Only of these.")] = None,
    metric_name: Annotated[str | None, typer.Option("--metric", help="Only of this name.")] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """List detectors, and how far they are.

    Example: driftline detector list
    """
    with server.connect() as client:
        found = client.detectors(namespace=namespace, metric_name=metric_name)
    _show(found, as_json=as_json)


@detector.command("get")
@options.with_server
def get(
    detector_id: Id, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Show one detector: what it watches, how it learns, what it has learnt.

    Example: driftline detector get 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    with server.connect() as client:
        found = client.detector(detector_id)
    if as_json:
        options.show_json(found)
        return
    _show([found], as_json=False)
    typer.echo("")
    options.show_table(["period", "state_value", "points", "has_seasons", "trained_at"],
                       found["models"])  # fmt: skip
    for model in found["models"]:
        if model["problem"]:
            typer.echo(f"\nnot trained at {model['period']} s: {model['problem']}")


@detector.command("band")
@options.with_server
def band(
    detector_id: Id,
    period: Annotated[int | None, typer.Option("--period", help="Seconds.")] = None,
    deviations: Annotated[
        float, typer.Option("--deviations", help="Standard deviations to each side.")
    ] = 2.0,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Show the last day of values beside the band.

    Example: driftline detector band 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    with server.connect() as client:
        found = client.detector_band(detector_id, period=period, deviations=deviations)
    if as_json:
        options.show_json(found)
        return
    values, lower, upper = (dict(found[name]) for name in ("values", "lower", "upper"))
    rows = [
        {
            "time": time,
            "lower": lower.get(time),
            "value": values.get(time),
            "upper": upper.get(time),
            "outside": "!" if _is_outside(values.get(time), lower.get(time), upper.get(time))
            else "",
        }
        for time in sorted({*values, *lower})
    ]  # fmt: skip
    options.show_table(["time", "lower", "value", "upper", "outside"], rows)


@detector.command("train")
@options.with_server
def train(
    detector_id: Id, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Have a detector trained again now, and not only tomorrow.

    Example: driftline detector train 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    with server.connect() as client:
        found = client.train_detector(detector_id)
    _show([found], as_json=as_json)


@detector.command("delete")
@options.with_server
def delete(
    detector_id: Id, server: options.Server = options.DEFAULT, as_json: options.AsJson = False
) -> None:
    """Delete a detector; an alarm that needs it has it made again.

    Example: driftline detector delete 0f1e2d3c4b5a69788796a5b4c3d2e1f0
    """
    with server.connect() as client:
        client.delete_detector(detector_id)
    if as_json:
        options.show_json({"deleted": [detector_id]})
    else:
        typer.echo(f"deleted detector {detector_id}")


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        options.show_json(found)
        return
    rows = [{"id": one["id"], "watches": _watched(one), "state": one["state_value"]}
            for one in found]  # fmt: skip
    options.show_table(["id", "watches", "state"], rows)


def _watched(found: dict[str, Any]) -> str:
    if single := found.get("single_metric_anomaly_detector"):
        dimensions = ",".join(f"{name}={value}" for name, value in single["dimensions"].items())
        return f"{single['namespace']} {single['metric_name']} {dimensions} {single['stat']}"
    queries = found["metric_math_anomaly_detector"]["metric_data_queries"]
    return next(str(one.get("expression")) for one in queries if one["return_data"])


def _dimensions(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign:
            raise InputError(f'--dimension "{one}"; expected NAME=VALUE')
        found[name] = value
    return found


def _is_outside(value: float | None, lower: float | None, upper: float | None) -> bool:
    return (
        value is not None
        and lower is not None
        and upper is not None
        and not lower <= value <= upper
    )
