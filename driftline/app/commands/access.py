"""Commands about access: tokens, who changed what, and who one is to the server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from driftline.access.changes import changed_fields
from driftline.app.commands import options
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.errors import InputError

if TYPE_CHECKING:
    from driftline.access.principal import Role

token = typer.Typer(help="Make, list and revoke tokens.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Token; `driftline token list` names them.")]


@token.command("create")
@options.asks_server
def token_create(
    client: Client,
    name: Annotated[str, typer.Argument(help="Letters, digits, _ . @ and -; never used before.")],
    role: Annotated[
        list[str],
        typer.Option(
            "--role", help="viewer, analyst, operator, admin, invoke or ingest; repeatable."
        ),
    ],
    endpoint: Annotated[
        list[str] | None,
        typer.Option("--endpoint", metavar="NAME", help="For this endpoint only; repeatable."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="90d", help="Time, or hours, days, weeks from now."),
    ] = None,
) -> Answer:
    """Make a token and print its secret, which nobody can show again.

    Standard output has the secret alone. docs/access.md says what each role may do.

    Example: driftline token create grafana --role viewer --expires 90d
    """
    roles = cast("list[Role]", role)  # The server refuses other words.
    found = client.create_token(name, roles, endpoints=endpoint, expires_at=_end(expires))
    where = ", ".join(found["endpoints"] or ()) or "all endpoints"
    until = found["expires_at"] or "revoked"
    typer.echo(
        f'token "{name}": {", ".join(found["roles"])}; {where}; until {until}; shown this once',
        err=True,
    )
    return Answer(found, [found["token"]])


@token.command("list")
@options.asks_server
def token_list(client: Client) -> Answer:
    """Show all tokens, revoked ones too, without their secrets.

    Example: driftline token list
    """
    tokens = client.tokens()
    columns = ["name", "roles", "endpoints", "status", "until"]
    return Answer(tokens, [Table(columns, [_row(one) for one in tokens])])


@token.command("revoke")
@options.asks_server
def token_revoke(client: Client, name: Name) -> Answer:
    """End a token for good, with the sessions in the dashboard that began by it.

    Example: driftline token revoke grafana
    """
    client.revoke_token(name)
    return Answer({"revoked": name}, [f'token "{name}" is revoked; servers refuse it within 10 s'])


@token.command("end-sessions")
@options.asks_server
def token_end_sessions(
    client: Client,
    subject: Annotated[
        str, typer.Argument(help="Who is logged in, as `driftline audit` shows it.")
    ],
) -> Answer:
    """Log somebody out of the dashboard everywhere.

    Whoever has lost a group at the provider keeps its role as long as a session lasts.

    Example: driftline token end-sessions ana@example.org
    """
    client.end_sessions(subject)
    return Answer({"ended": subject}, [f'"{subject}" is logged out within 10 s'])


@options.asks_server
def audit(
    client: Client,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="Only what this one did.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Only what was done to this, such as Alarm/late or a path."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="2d", help="Time, or how long ago: 5m, 3h, 2d.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="1d", help="Time, or how long ago.")
    ] = None,
    limit: options.Limit = 100,
) -> Answer:
    """List who changed what.

    And who read raw rows, and who was refused; the newest first.

    Example: driftline audit --target Alarm/late --since 7d
    """
    now = datetime.now(UTC)
    entries = client.audit(
        subject=subject, target=target, since=options.moment(since, "--since", end=now),
        until=options.moment(until, "--until", end=now), limit=limit,
    )  # fmt: skip
    rows = [
        {
            "at": entry["at"][:19],
            "who": entry["subject"],
            "what": "\n  ".join(
                [
                    _what(entry["action"], entry["target"]),
                    *changed_fields(entry["before"], entry["after"]),
                ]
            ),
            "status": entry["status"],
        }
        for entry in entries
    ]
    return Answer(entries, [Table(["at", "who", "what", "status"], rows)])


@options.asks_server
def whoami(client: Client) -> Answer:
    """Show who the server takes you for, and what you may do.

    Example: driftline whoami
    """
    found = client.whoami()
    where = ", ".join(found["endpoints"] or ()) or "all endpoints"
    roles = ", ".join(found["roles"]) or "no role"
    return Answer(found, [f"{found['subject']} (by {found['via']}): {roles}; {where}"])


def _what(action: str, target: str) -> str:
    """Return what was done to what, in one line; of a request the method and its own path."""
    return " ".join(f"{action.partition(' /')[0]} {target}".split())


def _end(text: str | None) -> datetime | None:
    """Return when a token is to end: a time, or one so far from now."""
    now = datetime.now(UTC)
    if text is None or not text.isalnum():
        return options.moment(text, "--expires")
    try:
        return now + (now - options.moment(text, "--expires", end=now))
    except OverflowError:
        raise InputError(f'--expires "{text}"; expected less') from None


def _row(one: Mapping[str, Any]) -> dict[str, object]:
    now, end = datetime.now(UTC), one["expires_at"]
    has_ended = end is not None and datetime.fromisoformat(end) <= now
    return {
        "name": one["name"],
        "roles": ", ".join(one["roles"]),
        "endpoints": ", ".join(one["endpoints"] or ()) or "all",
        "status": "revoked" if one["revoked_at"] else "ended" if has_ended else "valid",
        "until": end and end[:16],
    }
