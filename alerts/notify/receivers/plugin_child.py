"""Sends one notification by a plugin, in a process of its own: it may hang or crash alone.

A plugin is an entry point of the group ``driftline.notifiers``, a function ``send(event)`` or an
object with such a method; ``event`` is our own body with ``id``, ``title``, ``text``, ``link`` and
``mood``. Returning means that it was taken, raising that it was not; an error whose ``retriable``
is False is final.

Standard input: ``{"plugin", "event"}``. Exit code 0: taken; 1: it raised; 77: it refuses for good;
2: there is none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from driftline.alerts.notify.receivers.refusals import EX_NOPERM

GROUP = "driftline.notifiers"


def plugin_names() -> list[str]:
    """Return the plugins that are installed here."""
    return sorted({one.name for one in entry_points(group=GROUP)})


def others_of(names: Sequence[str]) -> str:
    """Return the end of a sentence on a plugin that is not here: those that are."""
    if not names:
        return f", nor any other; install the package with the entry point of group {GROUP}"
    return f"; expected one of {', '.join(json.dumps(one) for one in names)}"


def main() -> int:
    """Hand the message on standard input to the plugin; return the exit code."""
    asked = json.loads(sys.stdin.buffer.read())
    found = [one for one in entry_points(group=GROUP) if one.name == asked["plugin"]]
    if not found:
        sys.stdout.write(f'no plugin "{asked["plugin"]}" is installed{others_of(plugin_names())}\n')
        return 2
    try:
        plugin = found[0].load()
        send = getattr(plugin, "send", plugin)
        send(asked["event"])
    except Exception as error:  # noqa: BLE001 - it is somebody else's code; its words may be secret
        sys.stdout.write(f"{type(error).__name__}\n")
        return 1 if getattr(error, "retriable", True) else EX_NOPERM
    return 0


if __name__ == "__main__":
    sys.exit(main())
