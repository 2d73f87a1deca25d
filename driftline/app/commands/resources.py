"""Commands about declared resources: apply, get, delete, deploy and invoke."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.files import read, read_resources
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.progress import progress
from driftline.errors import ForbiddenError, InputError
from driftline.roles import Roles

CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
}

INFERENCE_ID, REQUEST_ID = "x-amzn-sagemaker-inference-id", "x-amzn-requestid"

# Columns of a list of resources, by kind.
_COLUMNS = {
    "Baseline": "name version=status.version owner updated_at",
    "Channel": (
        "name type=spec.type format=spec.format enabled=status.enabled "
        "reason=status.disabled_reason failures=status.failure_count"
    ),
    "Silence": (
        "name status=status.status until=status.mutes_until matchers=spec.matchers "
        "alarms=spec.alarm_names comment=spec.comment"
    ),
}
deployment = options.Group(help="How far an endpoint's new generation is, and its way back.")
add_operations(deployment, "deployment")
_OTHERS = "name owner generation updated_at phase=status.phase reason=status.reason"

if TYPE_CHECKING:
    from driftline.serving.resources.specs import Kind as ResourceKind
else:
    # In any spelling: the client reads it, and refuses other words.
    ResourceKind = Annotated[
        str, "Model, EndpointConfig, Endpoint, Baseline, Monitor, Alarm, Channel, Silence…"
    ]


def apply(
    client: Client,
    file: Annotated[list[Path], "-f --file", "YAML or JSON, one or many resources."],
    dry_run: Annotated[bool, "--dry-run", "Only say what would change."] = False,
    no_wait: Annotated[bool, "--no-wait", "Return before what is declared is ready."] = False,
) -> Answer:
    """Declare resources, all or nothing, and wait until they are ready.

    Where one fails, its reason is printed, and what was ready before goes on. The same file twice
    changes nothing the second time. docs/resources.md has examples of every kind; `driftline get
    KIND NAME` shows one that is there.

    Example: driftline apply -f resources.yaml
    """
    resources = [resource for one in file for resource in read_resources(one)]
    plan = client.apply(resources, dry_run=dry_run, wait=False)
    if not no_wait:
        with progress("waiting", unit="ready") as advance:
            plan = client.wait_until_ready(plan, progress=advance)
    return Answer(plan, map(_change, plan["changes"]))


def get(
    client: Client,
    kind: ResourceKind,
    name: Annotated[str | None, "[NAME]", "Name of one resource; all when left out."] = None,
    prefix: Annotated[str, "Only names that begin so."] = "",
    owner: Annotated[str | None, "Only of this owner."] = None,
    tag: Annotated[list[str] | None, "--tag KEY=VALUE", "Only with this tag; repeatable."] = None,
) -> Answer:
    """Show the declared resources of a kind, or one of them.

    Example: driftline get monitor flights
    """
    if name is not None:
        import yaml  # As in files.py.

        resource = client.get(kind, name)
        return Answer(resource, [yaml.safe_dump(resource, sort_keys=False).rstrip()])
    from driftline.app.client.client import kind_of  # As heavy as the connection.

    found = client.list(kind, prefix=prefix, owner=owner, tags=options.pairs(tag, "tag", "KEY"))
    return Answer(found, lines_of(found, _COLUMNS.get(kind_of(kind), _OTHERS)))


def delete(
    client: Client,
    kind: ResourceKind,
    name: Annotated[str, "Name of the resource."],
) -> Answer:
    """Delete a declared resource; refused while another one needs it.

    Example: driftline delete alarm "flights drift"
    """
    client.delete(kind, name)
    return Answer({"deleted": [name], "kind": kind}, [f"deleted {kind} {name}"])


def deploy(
    client: Client,
    model: Annotated[Path, "Model file (skops, xgboost, lightgbm; joblib where trusted)."],
    name: Annotated[str | None, "Name of the endpoint; default: the file's."] = None,
    reference: Annotated[str | None, "The data taken as good."] = None,
    *,
    roles: Roles,
) -> Answer:
    """Turn a model file into a running, captured endpoint.

    With a reference it is monitored, too.

    Example: driftline deploy model.skops --reference train.parquet --label late
    """
    # Imported here: the other commands on resources send them as they stand.
    from driftline.app.deployment import deploy_by

    plan = deploy_by(model, roles, reference=reference, name=name, client=client)
    lines = [_change({**change, "fields": ()}) for change in plan["changes"]]
    lines.append(f"\nsend rows to {client.server}/endpoints/{plan['endpoint']}/invocations")
    if reference is not None and not client.list("Channel"):
        lines.append(
            "No notification channel is configured. Add one: declare a Channel, and name it in "
            "the alarm_actions of an Alarm (docs/resources.md)"
        )
    return Answer(plan, lines)


def invoke(
    client: Client,
    name: Annotated[str, "Endpoint."],
    file: Annotated[Path, "Rows: .csv (with or without header), .json or .jsonl."],
    inference_id: Annotated[str | None, "Name of the request, under which its labels come."] = None,
) -> None:
    """Ask an endpoint for predictions and print its answer.

    Labels are loaded later by the id of the request: yours, or else the one that is told.

    Example: driftline invoke flights rows.csv --inference-id order-1
    """
    kind = CONTENT_TYPES.get(file.suffix.lower())
    if kind is None:
        raise InputError(
            f'{file}: ending "{file.suffix}"; expected one of {", ".join(CONTENT_TYPES)}'
        )
    body = read(file)
    if kind == CONTENT_TYPES[".csv"]:
        try:
            body = _without_header(body, client.get("Endpoint", name))
        except ForbiddenError:
            typer.echo("a header is sent as a row: this token has no role viewer", err=True)
    named = {} if inference_id is None else {INFERENCE_ID: inference_id}
    answer = client.invoke(name, body, content_type=kind, headers=named)
    if inference_id is None and (known := answer.headers.get(REQUEST_ID)):
        typer.echo(f"id for labels: {known}", err=True)
    typer.echo(answer.text.rstrip("\n"))


def _change(change: Mapping[str, Any]) -> str:
    fields = "".join(f"\n    {field}" for field in change.get("fields", ()))
    reason = change.get("failed_before")
    again = "" if reason is None else f": tried again, as it failed before ({reason})"
    return f"{change['action']:<9} {change['kind']} {change['name']}{again}{fields}"


def _without_header(body: bytes, endpoint: Mapping[str, Any]) -> bytes:
    """Leave out a first line that only names the endpoint's inputs, as data frames write it."""
    signature = endpoint["status"].get("signature") or {"features": []}
    inputs = [one["name"] for one in signature["features"] if one["role"] == "feature"]
    lines = body.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    first = [line.decode("utf-8", "replace") for line in lines[:1]]
    fields = [field.strip() for row in csv.reader(first, skipinitialspace=True) for field in row]
    is_header = inputs and fields == [name.strip() for name in inputs]
    return b"".join(lines[1:]) if is_header else body
