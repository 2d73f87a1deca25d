"""The fields that definitions of alarms of all kinds share, and CloudWatch's names of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic.alias_generators import to_pascal

from driftline.alerts.alarms.actions import channel_of, check_action, policy_of
from driftline.alerts.documents import Document, from_aws
from driftline.alerts.errors import AlarmError, DatapointError, ExpressionError
from driftline.alerts.math.query import MetricQuery

Severity = Literal["page", "ticket"]

# CloudWatch API, PutMetricAlarm and PutCompositeAlarm.
_NAME_MAX = 255
_DESCRIPTION_MAX = 1024
_ACTIONS_MAX = 5
_TAGS_MAX = 50
_TAG_KEY_MAX, _TAG_VALUE_MAX = 128, 256
_OWNER_MAX = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PROPAGATION = ("enabled", "included_tag_keys", "excluded_tag_keys")
# Fields that CloudWatch does not have.
_OURS = ("severity", "owner", "evaluation_range")


def _pairs(given: object, info: ValidationInfo) -> object:
    """Take CloudWatch's list of two-field objects for an object of texts."""
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, list | tuple) or not all(isinstance(one, Mapping) for one in given):
        return given
    lowered = [{str(key).lower(): entry[key] for key in entry} for entry in given]
    pairs = [(one.get("name", one.get("key")), one.get("value")) for one in lowered]
    if any(not isinstance(part, str) for pair in pairs for part in pair):
        return given
    if len({key for key, _ in pairs}) != len(pairs):
        raise AlarmError(f"a name stands twice in {info.field_name} {given!r}; expected once")
    return dict(pairs)


def _named(given: object) -> str:
    if isinstance(given, str) and 1 <= len(given) <= _NAME_MAX and not _CONTROL.search(given):
        return given
    raise AlarmError(
        f"alarm name {str(given)[:80]!r}; expected 1 to {_NAME_MAX} characters "
        "without control characters"
    )


# Not strict: JSON's lists are tuples here.
Names = Annotated[tuple[str, ...], Field(strict=False, description="a list of channel names")]
Pairs = Annotated[dict[str, str], BeforeValidator(_pairs), Field(description="an object of texts")]
TextField = Annotated[str, Field(description="a text")]


class Alarm(Document):
    """What definitions of all kinds have."""

    error = AlarmError

    alarm_name: Annotated[str, BeforeValidator(_named)]
    alarm_description: TextField = ""
    actions_enabled: Annotated[bool, Field(description="true or false")] = True
    # What is to be done when the state becomes this (actions.py): channels to notify, by name or
    # by ARN, and scaling policies.
    alarm_actions: Names = ()
    ok_actions: Names = ()
    insufficient_data_actions: Names = ()
    # Which tags go into messages.
    action_configuration: Annotated[
        dict[str, Any] | None, Field(description="alarm_tags_propagation")
    ] = None
    # A page wakes somebody, a ticket waits for the morning.
    severity: Annotated[Severity, Field(description="page or ticket")] = "page"
    owner: TextField = ""
    tags: Pairs = Field(default_factory=dict)

    def __init__(self, /, **fields: object) -> None:
        try:
            super().__init__(**fields)
        except (AlarmError, DatapointError, ExpressionError) as error:
            raise AlarmError(f'alarm "{fields.get("alarm_name", "")}": {error}') from error

    @model_validator(mode="after")
    def _check_texts(self) -> Alarm:
        for name, text, longest in (
            ("description", self.alarm_description, _DESCRIPTION_MAX),
            ("owner", self.owner, _OWNER_MAX),
        ):
            if len(text) > longest:
                raise AlarmError(f"{name} of {len(text)} characters; expected {longest} or fewer")
        if len(self.tags) > _TAGS_MAX:
            raise AlarmError(f"{len(self.tags)} tags; expected {_TAGS_MAX} or fewer")
        for state, names in (
            ("ALARM", self.alarm_actions),
            ("OK", self.ok_actions),
            ("INSUFFICIENT_DATA", self.insufficient_data_actions),
        ):
            if len(names) > _ACTIONS_MAX or len(names) != len(set(names)):
                raise AlarmError(
                    f"{len(names)} actions for {state}; expected {_ACTIONS_MAX} or fewer, each once"
                )
            for name in names:
                check_action(name)
        _check_tags(self.tags)
        _check_propagation(self.action_configuration)
        return self

    @classmethod
    @cache
    def aws_names(cls) -> Mapping[str, str]:
        """Return CloudWatch's names of the fields, each with ours."""
        return {
            to_pascal(name).replace("OkActions", "OKActions"): name
            for name in cls.model_fields
            if name not in _OURS
        }

    def actions(self, state: str) -> tuple[str, ...]:
        """Return the channels to notify, and the scaling policies to heed, in this state."""
        return {
            "ALARM": self.alarm_actions,
            "OK": self.ok_actions,
            "INSUFFICIENT_DATA": self.insufficient_data_actions,
        }[state]

    def channels(self, state: str) -> tuple[str, ...]:
        """Return the channels to notify when the state becomes this one."""
        return tuple(dict.fromkeys(filter(None, map(channel_of, self.actions(state)))))

    @property
    def channel_names(self) -> frozenset[str]:
        """All channels that the alarm can notify."""
        return frozenset(filter(None, map(channel_of, self._all_actions)))

    @property
    def policy_names(self) -> list[str]:
        """All scaling policies that heed the alarm, as ENDPOINT/VARIANT/POLICY."""
        return sorted(filter(None, map(policy_of, self._all_actions)))

    @property
    def only_scales(self) -> bool:
        """Whether all that the alarm does is to have variants scaled."""
        return bool(self.policy_names) and not self.channel_names

    @property
    def _all_actions(self) -> frozenset[str]:
        return frozenset(self.alarm_actions + self.ok_actions + self.insufficient_data_actions)

    @property
    def propagates_tags(self) -> bool:
        """Whether ``alarm_tags_propagation`` is switched on."""
        return bool((self.action_configuration or _OFF)["alarm_tags_propagation"]["enabled"])

    @property
    def propagated_tags(self) -> dict[str, str]:
        """The tags that CloudWatch's forms of messages carry; none without propagation."""
        if not self.propagates_tags:
            return {}
        fields = (self.action_configuration or _OFF)["alarm_tags_propagation"]
        included, excluded = fields.get("included_tag_keys"), fields.get("excluded_tag_keys") or ()
        return {
            key: value
            for key, value in self.tags.items()
            if (included is None or key in included)
            and key not in excluded
            and not key.startswith("aws:")  # Amazon's own; they never go into messages.
        }


_OFF: Mapping[str, Any] = {"alarm_tags_propagation": {"enabled": False}}


def spec_from_aws(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write an alarm of CloudWatch's as the spec of a resource, its name and tags beside it."""
    found = from_aws(given)
    if "metrics" in found:
        found["metrics"] = [MetricQuery.from_dict(one).as_dict() for one in found["metrics"]]
    return found


def own_names(given: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    """Write CloudWatch's names of fields in snake case; null is as good as nothing."""
    for aws, own in names.items():
        if aws in given and own in given:
            raise AlarmError(f'"{aws}" and "{own}"; expected one of them')
    found: dict[str, object] = {}
    for key, value in given.items():
        own = names.get(key, key)
        # Absent and null say the same, in every SDK.
        if own == key or value is not None:
            found[own] = value
    if isinstance(found.get("action_configuration"), Mapping):
        found["action_configuration"] = _own_propagation(found["action_configuration"])
    return found


def _own_propagation(given: Any) -> dict[str, object]:  # noqa: ANN401 - checked as a mapping
    """Take CloudWatch's names inside of ActionConfiguration; the rest is checked later."""
    found = dict(given)
    fields = found.pop("AlarmTagsPropagation", None)
    if isinstance(fields, Mapping):
        names = {to_pascal(name): name for name in _PROPAGATION}
        fields = {names.get(str(key), str(key)): value for key, value in fields.items()}
    return found if fields is None else found | {"alarm_tags_propagation": fields}


def _check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that are too long: AlarmError."""
    for key, value in tags.items():
        if not 1 <= len(key) <= _TAG_KEY_MAX or len(value) > _TAG_VALUE_MAX:
            raise AlarmError(
                f'tag "{key[:80]}"; expected a key of 1 to {_TAG_KEY_MAX} characters and a value '
                f"of {_TAG_VALUE_MAX} or fewer"
            )


def _check_propagation(found: Mapping[str, Any] | None) -> None:
    """Refuse an ``action_configuration`` that is none: AlarmError."""
    if found is None:
        return
    fields = found.get("alarm_tags_propagation")
    if not isinstance(fields, Mapping) or set(found) != {"alarm_tags_propagation"}:
        raise AlarmError(f"action_configuration {found!r}; expected alarm_tags_propagation")
    if not isinstance(fields.get("enabled"), bool) or set(fields) - set(_PROPAGATION):
        raise AlarmError(
            f"alarm_tags_propagation {dict(fields)!r}; expected enabled (true or false), and "
            "included_tag_keys or excluded_tag_keys if wanted"
        )
    lists = [key for key in _PROPAGATION[1:] if fields.get(key) is not None]
    if len(lists) > 1:
        raise AlarmError("included_tag_keys and excluded_tag_keys; expected one of them")
    for key in lists:
        names = fields[key]
        if not isinstance(names, list | tuple) or any(not isinstance(one, str) for one in names):
            raise AlarmError(f"{key} {names!r}; expected a list of keys of tags")
        if not 1 <= len(names) <= _TAGS_MAX:
            raise AlarmError(f"{key} {names!r}; expected 1 to {_TAGS_MAX} keys of tags")
