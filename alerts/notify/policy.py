"""How a channel wants its notifications: one by one or grouped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from driftline.alerts.notify.receivers.receiver import Options

_LONGEST_S = 31 * 86_400
_LABELS_MAX = 10
_Seconds = Annotated[
    float, Field(strict=True, ge=0, le=_LONGEST_S, description=f"0 to {_LONGEST_S} seconds")
]


class ChannelPolicy(Options):
    """What happens to notifications of a channel between a change of state and the sending.

    Words and defaults are those of ``route`` in Prometheus Alertmanager.
    """

    # Changes that agree in these labels become one notification; without any, one a change.
    group_by: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1)], ...],
        Field(
            max_length=_LABELS_MAX,
            description=f'at most {_LABELS_MAX} names of labels, such as "endpoint"',
        ),
    ] = ()
    # A new group waits so long for more of its kind; what is over by then is not sent.
    group_wait_s: _Seconds = 30.0
    group_interval_s: _Seconds = 300.0  # Between two notifications of a group with news.
    repeat_interval_s: _Seconds = 4 * 3600.0  # While a group still fires; 0: never.

    @classmethod
    def of(cls, options: Mapping[str, object] | None) -> ChannelPolicy:
        """Read the policy from a channel's options."""
        return cls.checked(options or {})
