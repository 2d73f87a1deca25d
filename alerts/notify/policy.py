"""How a channel wants its notifications: one by one or grouped, how many a minute."""

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

    Parameters
    ----------
    group_by
        Labels; changes that agree in them become one notification. Empty: one notification a
        change, as CloudWatch does.
    group_wait_s
        Seconds that a new group waits for more of its kind; what is over by then is not sent.
    group_interval_s
        Seconds between two notifications of a group with news.
    repeat_interval_s
        Seconds after which a group that still fires is sent again; 0: never.
    rate_limit_per_minute
        Notifications a minute, the others wait; 0: no limit.

    References
    ----------
    Prometheus Alertmanager, configuration ``route`` (same words, same defaults).
    """

    group_by: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1)], ...],
        Field(
            max_length=_LABELS_MAX,
            description=f'at most {_LABELS_MAX} names of labels, such as "endpoint"',
        ),
    ] = ()
    group_wait_s: _Seconds = 30.0
    group_interval_s: _Seconds = 300.0
    repeat_interval_s: _Seconds = 4 * 3600.0
    rate_limit_per_minute: Annotated[
        int, Field(strict=True, ge=0, le=100_000, description="0 (no limit) to 100000")
    ] = 60

    @classmethod
    def of(cls, options: Mapping[str, object] | None) -> ChannelPolicy:
        """Read the policy from a channel's options."""
        return cls.checked(options or {})
