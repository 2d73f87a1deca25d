"""SQL tables of messages beside channels and the outbox."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from driftline.alerts.tables import BigCount, FreeText, UtcDateTime, metadata

# One row for each attempt to send: the delivery log. Kept as long as the outbox keeps messages.
attempts = Table(
    "alerts_attempts",
    metadata,
    Column("id", BigCount, primary_key=True),
    Column("message_id", String(64), nullable=False),
    Column("channel", String(255), nullable=False),
    Column("number", Integer, nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("answer", FreeText),
    Index("ix_alerts_attempts_channel", "channel", "id"),
    Index("ix_alerts_attempts_message_id", "message_id"),
    Index("ix_alerts_attempts_time", "time"),
)

silences = Table(
    "alerts_silences",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("definition", JSON, nullable=False),
    Column("starts_at", UtcDateTime),
    Column("ends_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # Silences expire; they are never deleted.
    Column("expired_at", UtcDateTime),
    Index("ix_alerts_silences_ends_at", "ends_at"),
)

# What each group of a channel was told last, and when it is looked at again.
groups = Table(
    "alerts_groups",
    metadata,
    Column("channel", String(255), nullable=False),
    Column("key", FreeText, nullable=False),
    Column("told", JSON, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("channel", "key"),
    Index("ix_alerts_groups_due_at", "due_at"),
)

incidents = Table(
    "alerts_incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("endpoint", String(1024), nullable=False),
    Column("cause", FreeText, nullable=False),
    Column("features", JSON, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("onset_at", UtcDateTime, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Index("ix_alerts_incidents_closed_at", "closed_at"),
    Index("ix_alerts_incidents_endpoint_onset_at", "endpoint", "onset_at"),
)

incident_alarms = Table(
    "alerts_incident_alarms",
    metadata,
    Column("incident_id", ForeignKey("alerts_incidents.id"), nullable=False),
    Column("alarm_id", BigCount, nullable=False),
    Column("alarm_name", String(255), nullable=False),
    Column("joined_at", UtcDateTime, nullable=False),
    Column("left_at", UtcDateTime),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("incident_id", "alarm_id"),
    Index("ix_alerts_incident_alarms_alarm_id_left_at", "alarm_id", "left_at"),
)

# Token buckets of channels: how many messages each may send right now.
rates = Table(
    "alerts_rates",
    metadata,
    Column("channel", String(255), primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("time", UtcDateTime, nullable=False),
)
