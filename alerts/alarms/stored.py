"""What is stored of an alarm of any kind: when it was configured, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from driftline.alerts.alarms.alarm import State


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlarm:
    """What metric alarms and composite alarms share; each adds its definition."""

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

    def state_dict(self) -> dict[str, object]:
        """Return where it stands as plain JSON values, named as DescribeAlarms does."""
        return {
            "state_value": self.state,
            "state_reason": self.state_reason,
            "state_reason_data": self.state_reason_data,
            "state_updated_timestamp": (self.state_updated_at or self.state_changed_at).isoformat(),
            "state_transitioned_timestamp": self.state_changed_at.isoformat(),
            "evaluation_state": self.evaluation_state,
            "evaluation_problem": self.evaluation_problem,
            "state_seq": self.state_seq,
            "created_at": self.created_at.isoformat(),
            "alarm_configuration_updated_timestamp": self.updated_at.isoformat(),
        }
