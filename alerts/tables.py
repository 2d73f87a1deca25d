"""SQL tables of this room: metrics, datapoints, alarms, their history, channels, outbox."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware times, in and out; stored in UTC, without a zone where the database knows none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into what the database stores; a naive one is a bug."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value.isoformat()} has no zone; expected an aware time")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class FreeText(TypeDecorator[str]):
    """Text that people, models and receivers of messages wrote; PostgreSQL takes no NUL in it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Put the sign of what cannot be shown in the place of each NUL."""
        return None if value is None else value.replace("\0", "\N{REPLACEMENT CHARACTER}")


# Names of constraints are fixed here, so that migrations can name them on every database.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

# SQLite's INTEGER has 64 bits already, and gives out row ids of its own under this name only.
BigCount = BigInteger().with_variant(Integer(), "sqlite")
_Id = BigCount

metrics = Table(
    "alerts_metrics",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("namespace", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("dimensions", JSON, nullable=False),
    # Raised by every put, so that an alarm sees at a glance whether it has to look.
    Column("revision", BigCount, nullable=False, default=0),
    # Latest end of any datapoint so far: periods up to here have had their say.
    Column("covered_until", UtcDateTime),
    # Newest sample of a plain metric, behind by ten minutes at most.
    Column("active_at", UtcDateTime),
    Index(None, "namespace", "name"),
)

datapoints = Table(
    "alerts_datapoints",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("metric_id", ForeignKey("alerts_metrics.id"), nullable=False),
    Column("source", String(255), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("period_s", Integer, nullable=False),
    Column("unit", String(32)),
    Column("sample_count", Float, nullable=False),
    Column("sum", Float, nullable=False),
    Column("minimum", Float, nullable=False),
    Column("maximum", Float, nullable=False),
    Column("note", JSON(none_as_null=True)),
    # How the values are spread; empty where it follows from the numbers, or is not known.
    Column("distribution", LargeBinary),
    Index(None, "metric_id", "time"),
    Index(None, "source"),
)

alarms = Table(
    "alerts_alarms",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("definition", JSON, nullable=False),
    Column("metric_key", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("state", String(20), nullable=False),
    Column("state_reason", FreeText, nullable=False),
    Column("state_reason_data", FreeText),
    Column("state_changed_at", UtcDateTime, nullable=False),
    # Raised by compare-and-set with each change of state: the guard against two evaluators.
    Column("state_seq", BigCount, nullable=False, default=0),
    # Where the evaluator stands: the end of the newest judged period, and its grid of periods.
    Column("evaluated_until", UtcDateTime),
    Column("start_at", UtcDateTime),
    Column("phase_s", Integer),
    Column("seen_revision", BigCount, nullable=False, default=0),
    Column("seen_at", UtcDateTime, nullable=False),
    # "metric" or "composite"; the names of both are unique together.
    Column("kind", String(16), nullable=False, default="metric", server_default="metric"),
    # The last word on the state, also where it only confirmed it; none: when it changed.
    Column("state_updated_at", UtcDateTime),
    # CloudWatch's EvaluationState, and the sentence that says what is wrong.
    Column("evaluation_state", String(24)),
    Column("evaluation_problem", FreeText),
    # Actions that a suppressor holds back: by what, up to when, and the state before that change.
    Column("suppressed_by", String(16)),
    Column("suppressed_until", UtcDateTime),
    Column("held_from", String(20)),
    # Seconds between two evaluations by the clock, 0 for alarms that follow their datapoints; none
    # until the evaluator has seen the definition.
    Column("cadence_s", Integer),
    Index(None, "metric_key"),
    Index(None, "cadence_s"),
    Index(None, "suppressed_until"),
    sqlite_autoincrement=True,  # Ids of deleted alarms are not given again: the outbox names them.
)

history = Table(
    "alerts_history",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("alarm_id", _Id, nullable=False),
    Column("alarm_name", String(255), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("type", String(32), nullable=False),
    Column("summary", FreeText, nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "alarm_name", "id"),
    Index(None, "time"),
    Index(None, "type", "id"),
)

channels = Table(
    "alerts_channels",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("type", String(32), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("format", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("disabled_reason", Text),
    Column("failure_count", Integer, nullable=False, default=0),
    # What a type of channel needs beyond url and secret; how its messages are held and grouped.
    Column("options", JSON, nullable=False, default=dict, server_default="{}"),
    # What else is secret, encrypted: a url with a token, a header, the secret before this one,
    # which signs beside it until the time is up.
    Column("sealed", JSON, nullable=False, default=dict, server_default="{}"),
    Column("previous_secret_until", UtcDateTime),
    # The line of history up to which it was told what was changed of alarms.
    Column("announced_id", BigCount),
)

outbox = Table(
    "alerts_outbox",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("alarm_id", _Id, nullable=False),
    Column("alarm_name", String(255), nullable=False),
    Column("state_seq", BigCount, nullable=False),
    Column("channel", String(255), nullable=False),
    Column("state", String(20), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("content_type", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("status", String(16), nullable=False),
    Column("lease_until", UtcDateTime),
    Column("lease_owner", String(36)),
    Column("last_status", Integer),
    Column("last_error", FreeText),
    Column("last_response", FreeText),
    Column("finished_at", UtcDateTime),
    # "change": of one alarm's state; "group" and "digest" carry the changes that name them.
    Column("kind", String(16), nullable=False, default="change", server_default="change"),
    # Why the message is in its status, for people.
    Column("reason", FreeText),
    # What silences and groups look at (labels), and what a message that carries it says of it.
    Column("facts", JSON, nullable=False, default=dict, server_default="{}"),
    Column("silence", String(255)),
    Column("incident_id", String(64)),
    Column("group_key", Text),
    Column("carrier_id", String(64)),
    UniqueConstraint("alarm_id", "state_seq", "channel"),
    Index(None, "status", "next_attempt_at"),
    Index(None, "alarm_id", "channel", "status"),
    Index(None, "carrier_id"),
    Index(None, "created_at"),
)
