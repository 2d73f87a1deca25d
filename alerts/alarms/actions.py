"""What an action of an alarm means: a channel or a scaling policy, by its name or by its ARN."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from driftline.alerts.errors import AlarmError

_ARN = re.compile(r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]+):[^:]*:[^:]*:(?P<resource>.+)")
# A scaling policy: scaling:ENDPOINT/VARIANT/POLICY, or its ARN. The autoscaler looks at the states
# of alarms by itself; nothing is sent.
_POLICY = re.compile(
    r"(?:scaling:(?P<own>[^/]+/[^/]+/.+)"
    r"|arn:[^:]+:autoscaling:[^:]*:[^:]*:scalingPolicy:[^:]+:resource/sagemaker/"
    r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/:]+):policyName/(?P<policy>.+))"
)


def _of_topic(name: str) -> str:
    # Names of channels have no underscores.
    return name.removesuffix(".fifo").replace("_", "-")


# By the service that an ARN is of: the channel that a resource of it stands for.
_CHANNELS: Mapping[str, Callable[[str], str]] = {"sns": _of_topic}


def channel_of(action: str) -> str | None:
    """Return the channel that an action notifies; None of a scaling policy, or an unknown ARN."""
    if policy_of(action) is not None:
        return None
    if (found := _ARN.fullmatch(action)) is None:
        return action
    of_service = _CHANNELS.get(found["service"])
    return None if of_service is None else of_service(found["resource"])


def policy_of(action: str) -> str | None:
    """Return the scaling policy that an action names, as ENDPOINT/VARIANT/POLICY; None: none."""
    if (found := _POLICY.fullmatch(action)) is None:
        return None
    return found["own"] or "/".join(found.group("endpoint", "variant", "policy"))


def check_action(action: str) -> None:
    """Refuse an ARN that stands for nothing here: AlarmError."""
    if channel_of(action) is None and policy_of(action) is None:
        raise AlarmError(
            f'action "{action[:200]}"; expected the name of a channel, the ARN of an SNS topic '
            "that is called like one, or that of a scaling policy of a variant"
        )
