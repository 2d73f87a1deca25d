"""Commands about notifications: whether channels work, silences, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from driftline.access.principal import system_user
from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNAVAILABLE, UNDECIDED

channel = options.Group(help="Where messages of alarms go.")
silence = options.Group(
    help="Hold back messages of alarms for a while. Their states go on changing."
)
delivery = options.Group(help="Messages: how they fare, and why.")


def _tested(found: Mapping[str, Any], _asked: object) -> Answer:
    """Exit code 3 where a message was not taken, 4 where the receiver did not answer."""
    is_silent = bool(found["message_id"]) and found["status"] is None
    code = 0 if found["is_taken"] else UNAVAILABLE if is_silent else UNDECIDED
    return Answer(found, lines_of({**found, "body": None}), code)


@silence.command("put")
def silence_put(
    client: Client,
    name: Annotated[str, "Letters, digits and inner hyphens."],
    matcher: Annotated[list[str] | None, "--matcher -m LABEL=VALUE", "Also !=, =~ and !~."] = None,
    alarm: Annotated[list[str] | None, "--alarm NAME", "An alarm by name."] = None,
    length: Annotated[str, "--for 2h", "How long: minutes, hours or days."] = "2h",
    comment: Annotated[str, "Why."] = "",
) -> Answer:
    """Hold back messages from now on; windows that come again are declared by `driftline apply`.

    Example: driftline silence put roll-out -m endpoint=flights --for 30m --comment "new model"
    """
    spec: dict[str, Any] = {
        "matchers": matcher or [],
        "alarm_names": alarm or [],
        "ends_at": options.later(length, "--for").isoformat(timespec="seconds"),
        "created_by": system_user(),
        "comment": comment,
    }
    client.apply([{"kind": "Silence", "name": name, "spec": spec}])
    found = {**client.get("Silence", name), **client.preview_silence(spec)}
    return Answer(found, [
        f'silence "{name}" until {spec["ends_at"]}',
        f"applies to: {', '.join(found['alarms']) or 'no alarm'}",
    ])  # fmt: skip


add_operations(channel, "channel", {"test": _tested})
add_operations(silence, "silence")
add_operations(delivery, "delivery")
