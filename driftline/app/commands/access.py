"""Commands about access: tokens, access keys, who changed what, and who one is to the server."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from driftline.access.changes import changed_fields
from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, command_named, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table, harmless

token = options.Group(help="Make, list and revoke tokens.")
access_key = options.Group(help="Make, list and revoke the keys that AWS's clients sign with.")

_Name = Annotated[str, "Letters, digits, _ . @ and -; never used before."]
_Roles = Annotated[
    list[str], "--role", "viewer, analyst, operator, admin, invoke or ingest; repeatable."
]
_Endpoints = Annotated[list[str] | None, "--endpoint NAME", "For this endpoint only; repeatable."]
_Expires = Annotated[str | None, "--expires 90d", "Time, or hours, days, weeks from now."]


@token.command("create")
def token_create(
    client: Client, name: _Name, role: _Roles, endpoint: _Endpoints = None, expires: _Expires = None
) -> Answer:
    """Make a token and print its secret, which nobody can show again.

    Standard output has the secret alone. docs/access.md says what each role may do.

    Example: driftline token create grafana --role viewer --expires 90d
    """
    found = client.create_token(name, **_grant(role, endpoint, expires))
    return _shown_once(found, [found["token"]], {"token"})


@access_key.command("create")
def access_key_create(
    client: Client, name: _Name, role: _Roles, endpoint: _Endpoints = None, expires: _Expires = None
) -> Answer:
    """Make an access key and print its id and its secret, which nobody can show again.

    Standard output has the two variables that AWS's clients read. docs/aws.md has more.

    Example: driftline access-key create airflow --role admin --expires 90d
    """
    found = client.create_access_key(name, **_grant(role, endpoint, expires))
    hidden = ("access_key_id", "secret_access_key")
    return _shown_once(found, [f"AWS_{key.upper()}={found[key]}" for key in hidden], {*hidden})


def _grant(role: list[str], endpoint: list[str] | None, expires: str | None) -> dict[str, Any]:
    end = None if expires is None else options.later(expires, "--expires")
    return {"roles": role, "endpoints": endpoint, "expires_at": end}


def _shown_once(found: Mapping[str, Any], lines: Sequence[str], hidden: Collection[str]) -> Answer:
    told = lines_of({key: value for key, value in found.items() if key not in hidden})
    typer.echo(harmless("; ".join([*map(str, told), "shown this once"])), err=True)
    return Answer(found, lines)


def _audited(entries: Sequence[Mapping[str, Any]], _asked: object) -> Iterable[str | Table]:
    rows = []
    for one in entries:
        changes = changed_fields(one["before"], one["after"])
        # Of a request the method and its own path.
        done = f"{one['action'].partition(' /')[0]} {one['target']}".strip()
        rows.append({**one, "what": "\n  ".join([done, *changes])})
    return lines_of(rows, "at who=subject what status")


add_operations(token, "token")
add_operations(access_key, "access-key")
audit = command_named("audit", _audited)
whoami = command_named("whoami")
