"""Commands about access: tokens, who changed what, and who one is to the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from driftline.access.changes import changed_fields
from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, command_named, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table, harmless

if TYPE_CHECKING:
    from driftline.access.principal import Role

token = options.Group(help="Make, list and revoke tokens.")


@token.command("create")
def token_create(
    client: Client,
    name: Annotated[str, "Letters, digits, _ . @ and -; never used before."],
    role: Annotated[
        list[str], "--role", "viewer, analyst, operator, admin, invoke or ingest; repeatable."
    ],
    endpoint: Annotated[
        list[str] | None, "--endpoint NAME", "For this endpoint only; repeatable."
    ] = None,
    expires: Annotated[str | None, "--expires 90d", "Time, or hours, days, weeks from now."] = None,
) -> Answer:
    """Make a token and print its secret, which nobody can show again.

    Standard output has the secret alone. docs/access.md says what each role may do.

    Example: driftline token create grafana --role viewer --expires 90d
    """
    end = None if expires is None else options.later(expires, "--expires")
    roles = cast("list[Role]", role)  # The server refuses other words.
    found = client.create_token(name, roles, endpoints=endpoint, expires_at=end)
    told = lines_of({key: value for key, value in found.items() if key != "token"})
    typer.echo(harmless("; ".join([*map(str, told), "shown this once"])), err=True)
    return Answer(found, [found["token"]])


def _audited(entries: Sequence[Mapping[str, Any]], _asked: object) -> Iterable[str | Table]:
    rows = []
    for one in entries:
        changes = changed_fields(one["before"], one["after"])
        # Of a request the method and its own path.
        done = f"{one['action'].partition(' /')[0]} {one['target']}".strip()
        rows.append({**one, "what": "\n  ".join([done, *changes])})
    return lines_of(rows, "at who=subject what status")


add_operations(token, "token")
audit = command_named("audit", _audited)
whoami = command_named("whoami")
