"""How a channel wants its messages: one by one, in groups, how many a minute, flapping or calm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from driftline.alerts.errors import ChannelError

_DAY_S = 86_400
_LABELS_MAX = 10


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """What happens to messages of a channel between a change of state and the sending.

    Parameters
    ----------
    group_by
        Labels; changes that agree in them become one message. Empty: one message a change, as
        CloudWatch does.
    group_wait_s
        Seconds that a new group waits for more of its kind; what is over by then is not told.
    group_interval_s
        Seconds between two messages of a group with news.
    repeat_interval_s
        Seconds after which a group that still fires is told again; 0: never.
    rate_limit_per_minute
        Messages a minute; what is beyond becomes one message. 0: no limit.
    damp_flapping
        Tell an alarm that changes more than six times an hour once, then not until it was stable
        for half an hour.
    supersede_backlog
        While the receiver is away, keep of each alarm's backlog the oldest and the newest only.

    Raises
    ------
    ChannelError
        Naming the field, the value and what was expected.

    References
    ----------
    Prometheus Alertmanager, configuration ``route`` (same words, same defaults).
    """

    group_by: tuple[str, ...] = ()
    group_wait_s: float = 30.0
    group_interval_s: float = 300.0
    repeat_interval_s: float = 4 * 3600.0
    rate_limit_per_minute: int = 60
    damp_flapping: bool = False
    supersede_backlog: bool = False

    def __post_init__(self) -> None:
        labels = tuple(self.group_by)
        object.__setattr__(self, "group_by", labels)
        if len(labels) > _LABELS_MAX or not all(isinstance(one, str) and one for one in labels):
            raise ChannelError(
                f"group_by {list(labels)!r}; expected at most {_LABELS_MAX} names of labels, such "
                'as "endpoint"'
            )
        for name in ("group_wait_s", "group_interval_s", "repeat_interval_s"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= 31 * _DAY_S:
                raise ChannelError(f"{name} {value!r}; expected 0 to {31 * _DAY_S} seconds")
        rate = self.rate_limit_per_minute
        if not isinstance(rate, int) or isinstance(rate, bool) or not 0 <= rate <= 100_000:
            raise ChannelError(f"rate_limit_per_minute {rate!r}; expected 0 (no limit) to 100000")

    @classmethod
    def of(cls, options: Mapping[str, object] | None) -> ChannelPolicy:
        """Read the policy out of a channel's options; what is not there is as the defaults say."""
        known = {one.name for one in fields(cls)}
        found = {key: value for key, value in (options or {}).items() if key in known}
        if isinstance(found.get("group_by"), list):
            found["group_by"] = tuple(found["group_by"])  # type: ignore[arg-type] # checked above
        return cls(**found)  # type: ignore[arg-type] # __post_init__ checks each of them

    def as_dict(self) -> dict[str, object]:
        """Give the policy as plain JSON values: what differs from the defaults."""
        found: dict[str, object] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if value != one.default:
                found[one.name] = list(value) if isinstance(value, tuple) else value
        return found


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(float(value))  # type: ignore[arg-type] # checked just now
