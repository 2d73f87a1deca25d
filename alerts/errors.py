"""Errors of this package.

::

    InputError
    ├── DatapointError       a datapoint, or a question about a metric, breaks a limit
    │   ├── MissingField     it lacks a field
    │   └── FieldConflict    its fields, or what they ask for together, do not go together
    ├── AlarmError           the definition of an alarm is wrong
    ├── ExpressionError      an expression of metric math, or a query for one, is wrong
    ├── DetectorError        the definition of a detector of anomalies is wrong
    ├── ChannelError         the definition of a channel is wrong
    ├── SilenceError         the definition of a silence is wrong
    ├── AddressError         a target must not be sent to (the text stays small on purpose)
    ├── NotFoundError
    │   ├── UnknownAlarm
    │   ├── UnknownChannel
    │   ├── UnknownDetector
    │   ├── UnknownDelivery
    │   └── UnknownSilence
    └── ConflictError
        ├── AlarmInUse       composite alarms still look at the alarm
        ├── DeliveryNotOwed  the message was delivered, or is on its way
        ├── ChannelDisabled  nothing is sent by the channel
        ├── ChannelInUse     alarms still name the channel
        └── RequestChanged   a request's id came with another body before
"""

from __future__ import annotations

from driftline.errors import ConflictError, InputError, NotFoundError


class DatapointError(InputError):
    """A datapoint, or a question about a metric, breaks a limit."""


class MissingField(DatapointError):  # noqa: N818 - reads as what happened
    """A datapoint, or a question about a metric, lacks a field."""


class FieldConflict(DatapointError):  # noqa: N818 - reads as what happened
    """Fields of a datapoint, or of a question about a metric, do not go together."""


class AlarmError(InputError):
    """The definition of an alarm is wrong."""


class ExpressionError(InputError):
    """An expression of metric math, or a query for one, is wrong."""


class DetectorError(InputError):
    """The definition of a detector of anomalies is wrong."""


class ChannelError(InputError):
    """The definition of a channel is wrong."""


class SilenceError(InputError):
    """The definition of a silence is wrong."""


class AddressError(InputError):
    """A target must not be sent to; details go to the log, never to the user who set the target."""


class UnknownAlarm(NotFoundError):  # noqa: N818 - reads as what happened
    """No alarm has the name."""


class UnknownChannel(NotFoundError):  # noqa: N818 - reads as what happened
    """No channel has the name."""


class UnknownDetector(NotFoundError):  # noqa: N818 - reads as what happened
    """No detector has the id."""


class UnknownDelivery(NotFoundError):  # noqa: N818 - reads as what happened
    """No message has the id."""


class DeliveryNotOwed(ConflictError):  # noqa: N818 - reads as what happened
    """The message was delivered, or is on its way without being sent again."""


class AlarmInUse(ConflictError):  # noqa: N818 - reads as what happened
    """Composite alarms still look at the alarm, or are suppressed by it."""


class ChannelDisabled(ConflictError):  # noqa: N818 - reads as what happened
    """Nothing is sent by the channel until it is enabled."""


class ChannelInUse(ConflictError):  # noqa: N818 - reads as what happened
    """Alarms still name the channel."""


class RequestChanged(ConflictError):  # noqa: N818 - reads as what happened
    """The id of a request to add datapoints came with another body before."""


class UnknownSilence(NotFoundError):  # noqa: N818 - reads as what happened
    """No silence has the name."""
