"""Errors of this room.

::

    InputError
    ├── DatapointError       a datapoint, or a question about a metric, breaks a limit
    ├── AlarmError           the definition of an alarm is wrong
    ├── ChannelError         the definition of a channel is wrong
    ├── AddressError         a target must not be sent to (the text stays small on purpose)
    ├── NotFoundError
    │   ├── UnknownAlarm
    │   ├── UnknownChannel
    │   └── UnknownDelivery
    └── ConflictError
        └── ChannelInUse     alarms still name the channel
"""

from __future__ import annotations

from driftline.errors import ConflictError, InputError, NotFoundError

__all__ = [
    "AddressError",
    "AlarmError",
    "ChannelError",
    "ChannelInUse",
    "DatapointError",
    "UnknownAlarm",
    "UnknownChannel",
    "UnknownDelivery",
]


class DatapointError(InputError):
    """A datapoint, or a question about a metric, breaks a limit."""


class AlarmError(InputError):
    """The definition of an alarm is wrong."""


class ChannelError(InputError):
    """The definition of a channel is wrong."""


class AddressError(InputError):
    """A target must not be sent to; details go to the log, never to whoever set the target."""


class UnknownAlarm(NotFoundError):  # noqa: N818 - reads as what happened
    """No alarm has the name."""


class UnknownChannel(NotFoundError):  # noqa: N818 - reads as what happened
    """No channel has the name."""


class UnknownDelivery(NotFoundError):  # noqa: N818 - reads as what happened
    """No message has the id, or it needs no new delivery."""


class ChannelInUse(ConflictError):  # noqa: N818 - reads as what happened
    """Alarms still name the channel."""
