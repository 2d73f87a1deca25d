"""Stored alarms whose definition cannot be read: told as that, so that the others are not lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlalchemy import Row

from driftline.alerts.alarms.stored import StoredAlarm
from driftline.alerts.errors import AlarmError
from driftline.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableAlarm(StoredAlarm):
    """Where an alarm stands of which more cannot be read, as when a newer version wrote it."""

    name: str
    kind: Literal["metric", "composite"]
    problem: str

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values, named as those of the others."""
        return {"alarm_name": self.name} | self.state_dict()


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
            "declare it again (driftline apply), or delete it (driftline alarm delete)"
        ) from error


def unreadable(row: Row[Any], error: AlarmError) -> UnreadableAlarm:
    """Return what can be said of an alarm that `readable` refused."""
    return UnreadableAlarm(
        name=row.name,
        kind=row.kind,
        problem=str(error),
        id=row.id,
        state=row.state,
        state_reason=row.state_reason,
        state_reason_data=row.state_reason_data,
        state_changed_at=row.state_changed_at,
        state_updated_at=row.state_updated_at,
        state_seq=row.state_seq,
        created_at=row.created_at,
        updated_at=row.updated_at,
        evaluation_state=row.evaluation_state,
        evaluation_problem=row.evaluation_problem,
    )
