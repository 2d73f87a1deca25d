"""From a declared channel to what the room of alarms knows as one."""

from __future__ import annotations

from driftline.alerts.messages.channel import Channel
from driftline.serving.specs import ChannelSpec

__all__ = ["channel_of"]

_OWN = frozenset({"type", "url", "secret", "format"})


def channel_of(name: str, spec: ChannelSpec) -> Channel:
    """Give the channel of a spec.

    Raises
    ------
    ChannelError
        When fields do not go together.
    """
    options = spec.model_dump(mode="json", exclude=set(_OWN), exclude_defaults=True)
    return Channel(name, spec.url, spec.secret, spec.format, spec.type, options)
