"""Command that shows what the workers of an endpoint print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, harmless, harmless_json

POLL_S = 1.0
# Lines of several workers may be written a little later than others that are newer.
_LATE = timedelta(seconds=5)


@options.with_server
def logs(
    endpoint: Annotated[str, typer.Argument(help="Endpoint; `driftline get endpoint` lists them.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C; with --json, a line each.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", help="No older lines: RFC 3339, or 5m, 3h, 2d, 1w.")
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="The newest, so many at most.")
    ] = 100,
    variant: Annotated[str | None, typer.Option("--variant", help="Only its workers.")] = None,
    as_json: options.AsJson = False,
    *,
    server: options.Server = options.DEFAULT,
) -> None:
    """Show what the workers of an endpoint have printed.

    That is model code, or a command: time, variant (and container, of several), number of the
    worker's process, line.

    Example: driftline logs flights --since 10m --follow
    """
    begin = moment(since, "--since", end=datetime.now(UTC))
    with server.connect() as client:
        found = client.logs(endpoint, variant=variant, since=begin, limit=lines)[::-1]
        if not follow:
            if not found:
                typer.echo(harmless(f"no lines; here is what {endpoint}'s workers print"), err=True)
            Answer(found, map(_text, found)).print(as_json=as_json)
            return
        for one in _followed(client, endpoint, variant, begin, found):
            sys.stdout.write(harmless_json(_json(one)) if as_json else harmless(_text(one)))
            sys.stdout.write("\n")
            sys.stdout.flush()


def _followed(
    client: Client,
    endpoint: str,
    variant: str | None,
    begin: datetime | None,
    found: list[Any],
) -> Iterator[Mapping[str, Any]]:
    """Return lines, then those that come, each once and for ever."""
    first = datetime.fromisoformat(found[0]["time"]) if found else begin
    shown: dict[tuple[str, str, int], datetime] = {}
    while True:
        for one in found:
            key = one["time"], one["variant"], one["worker"]
            at = datetime.fromisoformat(one["time"])
            if key not in shown and (first is None or at >= first):
                shown[key] = at
                yield one
        newest = max(shown.values(), default=None)
        if newest is not None:
            shown = {key: at for key, at in shown.items() if at >= newest - _LATE}
        time.sleep(POLL_S)
        since = begin if newest is None else newest - _LATE
        found = client.logs(endpoint, variant=variant, since=since, limit=None)[::-1]


def _text(one: Mapping[str, Any]) -> str:
    at = one["time"].replace("+00:00", "Z")
    where = "/".join(filter(None, (one["variant"], one["container"])))
    return f"{at} {where} {one['worker']} {one['message']}"


def _json(one: Mapping[str, Any]) -> str:
    return json.dumps(one, ensure_ascii=False)
