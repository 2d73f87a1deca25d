"""What became of the actions of an alarm's last change, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from driftline.alerts.alarms.composite_records import AnyRecord, CompositeRecord
from driftline.alerts.evaluation.diagnosis import moment
from driftline.alerts.notify.deliveries import list_deliveries

_OFF = "actions are switched off"


@dataclass(frozen=True, slots=True)
class ToldAction:
    """One channel that the last change was for: what became of the message, and why."""

    channel: str
    status: str
    why: str | None
    delivery_id: str | None = None
    at: datetime | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "channel": self.channel,
            "status": self.status,
            "why": self.why,
            "delivery_id": self.delivery_id,
            "at": None if self.at is None else self.at.isoformat(),
        }


def told_actions(
    connection: Connection, record: AnyRecord, now: datetime
) -> tuple[tuple[ToldAction, ...], str | None]:
    """Return the actions of the last change of state, and why none of them, or no others, run."""
    off = f"{_OFF} (driftline alarm enable switches them on)"
    if messages := list_deliveries(connection, change=(record.id, record.state_seq)):
        later = f"{_OFF}, so the next change tells nobody (driftline alarm enable switches them on)"
        return tuple(
            ToldAction(
                one.channel,
                one.status,
                one.reason or one.last_error,
                one.id,
                one.finished_at or one.next_attempt_at,
            )
            for one in messages
        ), None if record.definition.actions_enabled else later
    names = record.definition.actions(record.state)
    if record.state_seq == 0:
        return (), "the alarm has not changed its state yet; actions run on changes only"
    if not names:
        return (), f"no action is declared for {record.state}"
    if not record.definition.actions_enabled:
        return tuple(ToldAction(name, "disabled", off) for name in names), None
    if isinstance(record, CompositeRecord) and record.held.is_owed:
        why = record.held.reason or "Actions suppressed"
        if record.held.by == "Alarm":
            why += f': "{record.definition.suppressor_name}" is in ALARM'
        elif record.held.until is not None:
            verb = "run at" if record.held.until > now else "were due at"
            why += f"; they {verb} {moment(record.held.until)}"
        return tuple(ToldAction(name, "suppressed", why) for name in names), None
    why = "no message was queued: the action was declared after the change, or its row is gone"
    return tuple(ToldAction(name, "not_run", why) for name in names), None
