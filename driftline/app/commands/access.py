"""Commands about access: tokens, who changed what, and who one is to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, command_named, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, harmless

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


add_operations(token, "token")
audit = command_named("audit")
whoami = command_named("whoami")
