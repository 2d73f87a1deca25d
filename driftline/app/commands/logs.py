"""Command that shows what the workers of an endpoint print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, harmless, harmless_json

POLL_S = 1.0
# Lines of several workers may be written a little later than others that are newer.
_LATE = timedelta(seconds=5)


def logs(
    client: Client,
    endpoint: Annotated[str, "Endpoint; `driftline get endpoint` lists them."],
    follow: Annotated[bool, "--follow -f", "Go on until Ctrl-C; with --json, a line each."] = False,
    since: Annotated[str | None, "No older lines: RFC 3339, or 5m, 3h, 2d, 1w."] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="The newest, so many at most.")
    ] = 100,
    variant: Annotated[str | None, "Only its workers."] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what the workers of an endpoint have printed.

    That is model code, or a command: time, variant (and container, of several), number of the
    worker's process, line.

    Example: driftline logs flights --since 10m --follow
    """
    begin = moment(since, "--since", end=datetime.now(UTC))
    found = client.logs(endpoint, variant=variant, since=begin, limit=lines)[::-1]
    if not follow:
        if not found:
            typer.echo(harmless(f"no lines; here is what {endpoint}'s workers print"), err=True)
        Answer(found, map(_text, found)).print(as_json=as_json)
        return
    shown: dict[tuple[str, str, int], datetime] = {}
    first = _time(found[0]) if found else begin
    while True:
        for one in found:
            key, at = (one["time"], one["variant"], one["worker"]), _time(one)
            if key not in shown and (first is None or at >= first):
                shown[key] = at
                text = json.dumps(one, ensure_ascii=False) if as_json else _text(one)
                sys.stdout.write((harmless_json if as_json else harmless)(text) + "\n")
        sys.stdout.flush()
        newest = max(shown.values(), default=None)
        since_then = begin if newest is None else newest - _LATE
        shown = {key: at for key, at in shown.items() if since_then is None or at >= since_then}
        time.sleep(POLL_S)
        found = client.logs(endpoint, variant=variant, since=since_then, limit=None)[::-1]


def _time(one: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(one["time"])


def _text(one: Mapping[str, Any]) -> str:
    at = one["time"].replace("+00:00", "Z")
    where = "/".join(filter(None, (one["variant"], one["container"])))
    return f"{at} {where} {one['worker']} {one['message']}"
