"""Commands that ask a running server: declared resources, models, monitors, captures."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.errors import InputError
from driftline.roles import Roles

CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
}

ResourceKind = Annotated[
    str, typer.Argument(help="Model, Endpoint, Baseline, Monitor, Alarm, CompositeAlarm, Channel…")
]


monitor = typer.Typer(help="Run monitors now.", no_args_is_help=True)


@options.with_server
def apply(
    file: Annotated[
        list[Path], typer.Option("-f", "--file", help="YAML or JSON, one or many resources.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Declare resources, all or nothing.

    The same file twice changes nothing the second time. docs/resources.md has examples of every
    kind; `driftline get KIND NAME` shows one that is there.

    Example: driftline apply -f resources.yaml
    """
    # Imported here, as below: parsing YAML is for the commands that read or print it.
    from driftline.app.commands.resource_files import read_resources

    resources = [resource for one in file for resource in read_resources(one)]
    with server.connect() as client:
        plan = client.apply(resources, dry_run=dry_run)
    if as_json:
        options.show_json(plan)
        return
    for change in plan["changes"]:
        fields = "".join(f"\n    {field}" for field in change.get("fields", []))
        typer.echo(f"{change['action']:<9} {change['kind']} {change['name']}{fields}")


@options.with_server
def get(
    kind: ResourceKind,
    name: Annotated[
        str | None, typer.Argument(help="Name of one resource; all when left out.")
    ] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Show the declared resources of a kind, or one of them.

    Example: driftline get monitor flights
    """
    with server.connect() as client:
        found: Any = client.get(kind, name) if name is not None else client.list(kind)
    if as_json:
        options.show_json(found)
    elif name is not None:
        import yaml

        typer.echo(yaml.safe_dump(found, sort_keys=False).rstrip())
    else:
        options.show_table(["name", "owner", "generation", "updated_at"], found)


@options.with_server
def delete(
    kind: ResourceKind,
    name: Annotated[str, typer.Argument(help="Name of the resource.")],
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Delete a declared resource; refused while another one needs it.

    Example: driftline delete alarm "flights drift"
    """
    with server.connect() as client:
        client.delete(kind, name)
    if as_json:
        options.show_json({"deleted": [name], "kind": kind})
    else:
        typer.echo(f"deleted {kind} {name}")


@options.with_roles
@options.with_server
def deploy(
    model: Annotated[Path, typer.Argument(help="Model file (skops; joblib where trusted).")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the endpoint; default: the file's.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="The data taken as good.")
    ] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
    *,
    roles: Roles,
) -> None:
    """Turn a model file into a running, captured endpoint.

    With a reference it is monitored, too.

    Example: driftline deploy model.skops --reference train.parquet --label late
    """
    # Imported here: the other commands on resources send them as they stand.
    from driftline.app.deployment import deploy_by

    with server.connect() as client:
        plan = deploy_by(model, roles, reference=reference, name=name, client=client)
    if as_json:
        options.show_json(plan)
        return
    for change in plan["changes"]:
        typer.echo(f"{change['action']:<9} {change['kind']} {change['name']}")
    typer.echo(f"\nsend rows to {client.server}/endpoints/{plan['endpoint']}/invocations")
    if reference is not None:
        typer.echo(
            "No notification channel is configured. Add one: declare a Channel, and name it in the "
            "alarm_actions of an Alarm (docs/resources.md)"
        )


@options.with_server
def invoke(
    name: Annotated[str, typer.Argument(help="Endpoint.")],
    file: Annotated[
        Path, typer.Argument(help="Rows: .csv (with or without header), .json or .jsonl.")
    ],
    server: options.Server = options.DEFAULT,
) -> None:
    """Ask an endpoint for predictions and print its answer.

    Example: driftline invoke flights rows.csv
    """
    kind = CONTENT_TYPES.get(file.suffix.lower())
    if kind is None:
        raise InputError(
            f'{file}: ending "{file.suffix}"; expected one of {", ".join(CONTENT_TYPES)}'
        )
    try:
        body = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    with server.connect() as client:
        if kind == CONTENT_TYPES[".csv"]:
            body = _without_header(body, client.get("Endpoint", name))
        typer.echo(client.invoke(name, body, content_type=kind).text.rstrip("\n"))


@monitor.command("run")
@options.with_server
def monitor_run(
    name: Annotated[str, typer.Argument(help="Monitor; `driftline get monitor` lists them.")],
    start: Annotated[
        str | None, typer.Option("--from", help="Start of the window, RFC 3339.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the window, not in it.")] = None,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Run a monitor on one window now; running the same rows again changes nothing.

    Without --from and --to it is the last whole window of its schedule. Rows that wait in the spool
    (10 s at most) are not in it yet.

    Example: driftline monitor run flights-data-quality --from 2026-11-18 --to 2026-11-19
    """
    with server.connect() as client:
        execution = client.run_monitor(name, start=moment(start, "--from"), end=moment(end, "--to"))
    if as_json:
        options.show_json(execution)
    else:
        typer.echo(f"{execution['status']}: {_outcome(execution)}")
    if execution["status"] in ("Failed", "InsufficientData"):
        raise typer.Exit(3)
    if execution["status"] == "CompletedWithViolations":
        raise typer.Exit(1)


def _without_header(body: bytes, endpoint: Mapping[str, Any]) -> bytes:
    """Leave out a first line that only names the endpoint's inputs, as data frames write it."""
    signature = endpoint["status"]["signature"] or {"features": []}
    inputs = [one["name"] for one in signature["features"] if one["role"] == "feature"]
    first, _, rest = body.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    fields = next(csv.reader([first.decode("utf-8", "replace").strip()]), [])
    return rest if inputs and fields == inputs else body


def _outcome(execution: dict[str, Any]) -> str:
    window = f"{execution['window_start']} to {execution['window_end']}"
    if execution["failure_reason"]:
        return f"{execution['failure_reason']} ({window}; another one by --from and --to)"
    count = execution["violation_count"]
    if execution["status"] == "InsufficientData":
        reason = execution["cause"] or f"{execution['row_count']:,} rows; nothing could be judged"
        return f"{reason} ({window})"
    found = f"{execution['row_count']:,} rows, {count} violation{'s' if count != 1 else ''}"
    return f"{found} ({window})" + (f"; {execution['cause']}" if execution["cause"] else "")


def moment(text: str | None, option: str) -> datetime | None:
    """Read the time of an option, UTC where it names no zone; anything else is an InputError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f'{option} "{text}"; expected a time such as 2013-11-18T00:00:00Z'
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
