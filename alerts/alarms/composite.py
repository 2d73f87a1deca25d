"""The definition of a composite alarm: PutCompositeAlarm's fields in snake case, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.parts import Alarm, own_names
from driftline.alerts.alarms.rule import Rule, alarm_name
from driftline.alerts.alarms.suppression import Periods
from driftline.alerts.errors import AlarmError

_SUPPRESSOR_MAX = 1600  # CloudWatch API, PutCompositeAlarm.
_PERIOD_MAX_S = 604_800  # Our own limit; CloudWatch names none. A week is no wait any more.
_WAIT = (
    f"whole seconds from 0 to {_PERIOD_MAX_S}, 60 for example: an actions_suppressor needs both "
    "periods"
)
_Seconds = Annotated[int | None, Field(ge=0, le=_PERIOD_MAX_S, description=_WAIT)]


class CompositeDefinition(Alarm):
    """One alarm whose state follows from other alarms' states."""

    alarm_rule: str
    # Name or ARN of the alarm that holds actions back while it is in ALARM.
    actions_suppressor: Annotated[
        str | None,
        Field(min_length=1, max_length=_SUPPRESSOR_MAX, description="the name or ARN of an alarm"),
    ] = None
    # How long actions wait for the suppressor, and after it has left ALARM.
    actions_suppressor_wait_period: _Seconds = None
    actions_suppressor_extension_period: _Seconds = None

    @model_validator(mode="after")
    def _check(self) -> CompositeDefinition:
        _parsed(self.alarm_rule)
        if self.policy_names:  # CloudWatch refuses them, too: there is no value to go by.
            raise AlarmError(
                f'action "{self.policy_names[0]}" is a scaling policy; name it in a metric alarm'
            )
        if self.actions_suppressor is None:
            return self
        if self.suppressor_name == self.alarm_name:
            raise AlarmError("it is its own actions_suppressor; expected another alarm")
        for key in ("actions_suppressor_wait_period", "actions_suppressor_extension_period"):
            if getattr(self, key) is None:
                raise AlarmError(f"{key} is missing; expected {_WAIT}")
        return self

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Read a definition from plain JSON values, named in snake case or as PutCompositeAlarm."""
        try:
            values = own_names(given, cls.aws_names())
        except AlarmError as error:
            name = given.get("AlarmName", given.get("alarm_name", ""))
            raise AlarmError(f'alarm "{name}": {error}') from error
        return super().from_dict(values)

    @classmethod
    def sentence(cls, error: ValidationError, given: Mapping[str, Any]) -> str:
        """Return the problem of the first field; what is missing is no text."""
        wrong = {one["type"]: one["loc"][0] for one in error.errors()}
        if "missing" in wrong and "extra_forbidden" not in wrong:
            return f"{wrong['missing']} None; expected text"
        return super().sentence(error, given)

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


AnyDefinition = AlarmDefinition | CompositeDefinition


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Rule:
    return Rule.parse(text)
