"""What is stored of an alarm of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row

from driftline.alerts.alarms.alarm import State
from driftline.alerts.documents import Document, Time
from driftline.alerts.errors import AlarmError
from driftline.errors import InputError

T = TypeVar("T")


class AlarmStanding(Document):
    """Where an alarm of any kind stands, named as DescribeAlarms does."""

    name: str
    state_value: State
    state_reason: str
    state_reason_data: str | None
    state_updated_timestamp: Time
    state_transitioned_timestamp: Time
    evaluation_state: str | None
    evaluation_problem: str | None
    state_seq: int
    created_at: Time
    alarm_configuration_updated_timestamp: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlarm:
    """The fields shared by metric alarms and composite alarms; each adds its definition."""

    id: int
    state: State
    state_reason: str
    state_reason_data: str | None
    state_changed_at: datetime
    state_updated_at: datetime | None
    state_seq: int
    created_at: datetime
    updated_at: datetime
    evaluation_state: str | None
    evaluation_problem: str | None

    @staticmethod
    def columns(row: Row[Any]) -> dict[str, Any]:
        """Return these fields of a row of the table of alarms."""
        return {one.name: getattr(row, one.name) for one in fields(StoredAlarm)}

    def state_dict(self) -> dict[str, Any]:
        """Return its state, named as DescribeAlarms does."""
        return {
            "state_value": self.state,
            "state_reason": self.state_reason,
            "state_reason_data": self.state_reason_data,
            "state_updated_timestamp": self.state_updated_at or self.state_changed_at,
            "state_transitioned_timestamp": self.state_changed_at,
            "evaluation_state": self.evaluation_state,
            "evaluation_problem": self.evaluation_problem,
            "state_seq": self.state_seq,
            "created_at": self.created_at,
            "alarm_configuration_updated_timestamp": self.updated_at,
        }


def readable(row: Row[Any], read: Callable[[Any], T]) -> T:
    """Read the definition of a stored alarm."""
    try:
        if not isinstance(row.definition, dict):
            raise AlarmError("it is no object")
        return read(row.definition)
    except InputError as error:
        # Its own name may be what is missing.
        why = str(error).removeprefix('alarm "": ').removeprefix(f'alarm "{row.name}": ')
        raise AlarmError(
            f'alarm "{row.name}": its stored definition cannot be read: {why}; change it and '
            "declare it again (driftline apply), or delete it (driftline delete alarm)"
        ) from error
