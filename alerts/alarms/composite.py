"""The definition of a composite alarm: PutCompositeAlarm's fields in snake case, checked once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Final

from driftline.alerts.alarms.definition import AlarmDefinition, Severity
from driftline.alerts.alarms.limits import check_texts
from driftline.alerts.alarms.parts import Actions, nearest_key, propagated, read_names, read_pairs
from driftline.alerts.alarms.rule import Rule, alarm_name
from driftline.alerts.alarms.suppression import Periods
from driftline.alerts.alarms.wire import read_propagation
from driftline.alerts.errors import AlarmError

# CloudWatch API, PutCompositeAlarm.
_NAME_MAX = 255
_SUPPRESSOR_MAX = 1600
_PERIOD_MAX_S = 604_800  # Our own limit; CloudWatch names none. A week is no wait any more.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ACTION_FIELDS = ("alarm_actions", "ok_actions", "insufficient_data_actions")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeDefinition(Actions):
    """One alarm whose state follows from other alarms' states.

    Parameters
    ----------
    alarm_name
        Free text of 1 to 255 characters, unique among alarms of all kinds.
    alarm_rule
        The rule; see :mod:`driftline.alerts.alarms.rule`.
    alarm_actions, ok_actions, insufficient_data_actions
        Names of channels that are told when the state becomes this.
    actions_suppressor
        Name or ARN of the alarm that holds actions back while it is in ALARM.
    actions_suppressor_wait_period, actions_suppressor_extension_period
        Seconds that actions wait for the suppressor, and after it has left ALARM.
    action_configuration
        CloudWatch's ``alarm_tags_propagation``: which tags go into messages.
    severity, owner, tags
        Passed on in messages.

    Raises
    ------
    AlarmError
        Naming the alarm, the field, the value and what was expected.
    """

    alarm_name: str
    alarm_rule: str
    alarm_description: str = ""
    actions_enabled: bool = True
    alarm_actions: tuple[str, ...] = ()
    ok_actions: tuple[str, ...] = ()
    insufficient_data_actions: tuple[str, ...] = ()
    actions_suppressor: str | None = None
    actions_suppressor_wait_period: int | None = None
    actions_suppressor_extension_period: int | None = None
    action_configuration: Mapping[str, object] | None = None
    severity: Severity = "page"
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_texts()
        _parsed(self.alarm_rule)
        self._check_suppressor()

    @property
    def rule(self) -> Rule:
        """The rule, read."""
        return _parsed(self.alarm_rule)

    @property
    def suppressor_name(self) -> str | None:
        """The name of the suppressor, also where it was given by its ARN."""
        return None if self.actions_suppressor is None else alarm_name(self.actions_suppressor)

    @property
    def periods(self) -> Periods:
        """How long actions wait; meaningless without a suppressor."""
        return Periods(
            self.actions_suppressor_wait_period or 0, self.actions_suppressor_extension_period or 0
        )

    @property
    def told_tags(self) -> dict[str, str]:
        """The tags that CloudWatch's forms of messages carry."""
        return propagated(self.tags, self.action_configuration)

    def as_dict(self) -> dict[str, object]:
        """Return the definition as plain JSON values, all fields."""
        found: dict[str, object] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = dict(value)
            found[one.name] = value
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> CompositeDefinition:
        """Read a definition from plain JSON values, named in snake case or as PutCompositeAlarm."""
        # Absent and null say the same, in every SDK.
        given = {key: value for key, value in found.items() if value is not None}
        values = {COMPOSITE_AWS_NAMES.get(key, key): value for key, value in given.items()}
        name = str(values.get("alarm_name", ""))
        if len(values) < len(given):
            raise AlarmError(f'alarm "{name}": a field in both of its names; expected it once')
        known = {one.name for one in fields(cls)}
        if unknown := set(values) - known:
            raise AlarmError(
                f'alarm "{name}": unknown key "{min(unknown)}"; {nearest_key(min(unknown), known)}'
            )
        for key in ("alarm_name", "alarm_rule"):
            if not isinstance(values.get(key), str):
                raise AlarmError(f'alarm "{name}": {key} {values.get(key)!r}; expected text')
        try:
            for key in _ACTION_FIELDS:
                values[key] = read_names(key, values.get(key))
            values["tags"] = read_pairs("tags", values.get("tags"))
            configuration = read_propagation(values.pop("action_configuration", None))
        except AlarmError as error:
            raise AlarmError(f'alarm "{name}": {error}') from error
        values["action_configuration"] = configuration
        return cls(**values)  # type: ignore[arg-type] # __post_init__ checks each of them

    def _check_texts(self) -> None:
        if not 1 <= len(self.alarm_name) <= _NAME_MAX or _CONTROL.search(self.alarm_name):
            raise AlarmError(
                f"alarm name {self.alarm_name[:80]!r}; expected 1 to {_NAME_MAX} characters "
                "without control characters"
            )
        try:
            check_texts(self)
        except AlarmError as error:
            raise AlarmError(f'alarm "{self.alarm_name}": {error}') from error

    def _check_suppressor(self) -> None:
        where = f'alarm "{self.alarm_name}"'
        suppressor = self.actions_suppressor
        if suppressor is None:
            return
        if not isinstance(suppressor, str) or not 1 <= len(suppressor) <= _SUPPRESSOR_MAX:
            raise AlarmError(
                f"{where}: actions_suppressor {str(suppressor)[:80]!r}; expected the name or ARN "
                "of an alarm"
            )
        if self.suppressor_name == self.alarm_name:
            raise AlarmError(f"{where}: it is its own actions_suppressor; expected another alarm")
        for key in ("actions_suppressor_wait_period", "actions_suppressor_extension_period"):
            value = getattr(self, key)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not is_whole or not 0 <= value <= _PERIOD_MAX_S:
                given = "is missing" if value is None else repr(value)
                raise AlarmError(
                    f"{where}: {key} {given}; expected whole seconds from 0 to {_PERIOD_MAX_S}, "
                    "60 for example: an actions_suppressor needs both periods"
                )


AnyDefinition = AlarmDefinition | CompositeDefinition

# PutCompositeAlarm's names of what is called otherwise here.
COMPOSITE_AWS_NAMES: Final[dict[str, str]] = {
    "AlarmName": "alarm_name",
    "AlarmRule": "alarm_rule",
    "AlarmDescription": "alarm_description",
    "ActionsEnabled": "actions_enabled",
    "AlarmActions": "alarm_actions",
    "OKActions": "ok_actions",
    "InsufficientDataActions": "insufficient_data_actions",
    "ActionsSuppressor": "actions_suppressor",
    "ActionsSuppressorWaitPeriod": "actions_suppressor_wait_period",
    "ActionsSuppressorExtensionPeriod": "actions_suppressor_extension_period",
    "ActionConfiguration": "action_configuration",
    "Tags": "tags",
}


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Rule:
    return Rule.parse(text)
