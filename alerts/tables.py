"""SQL tables of alerts: metrics, datapoints, alarms and their history, channels, notifications."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from driftline.database.columns import CONSTRAINT_NAMES, BigCount, FreeText, UtcDateTime

metadata = MetaData(naming_convention=CONSTRAINT_NAMES)

# Samples of one slot lie side by side in the index, by metric: what is written in a minute touches
# few pages, and who reads the last minutes of thousands of metrics does, too.
SLOT_S: Final = 600

metrics = Table(
    "alerts_metrics",
    metadata,
    Column("id", BigCount, primary_key=True),
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
    Column("id", BigCount, primary_key=True),
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

# Times of samples and blocks are whole seconds since 1970: half the size of the databases' own,
# and they sort.
samples = Table(
    "alerts_samples",
    metadata,
    Column("id", BigCount, primary_key=True),
    Column("slot", Integer, nullable=False),
    # No foreign key: metrics are never deleted, and checking each of a million rows costs a third.
    Column("metric_id", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("resolution_s", SmallInteger, nullable=False),
    Column("unit", SmallInteger, nullable=False),
    Column("sample_count", Float, nullable=False),
    Column("sum", Float, nullable=False),
    # Empty for a single value: then both are the sum.
    Column("minimum", Float),
    Column("maximum", Float),
    # Empty where it follows from the numbers, or where nobody knows it.
    Column("distribution", LargeBinary),
    Index(None, "slot", "metric_id"),
)

blocks = Table(
    "alerts_blocks",
    metadata,
    Column("metric_id", BigInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("level_s", Integer, primary_key=True, autoincrement=False),
    Column("unit", SmallInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Index(None, "level_s", "start"),
)

requests = Table(
    "alerts_requests",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
    # Of the body, so that another one under the same id is noticed; empty where none is known.
    Column("digest", String(32)),
    Index(None, "received_at"),
)

alarms = Table(
    "alerts_alarms",
    metadata,
    Column("id", BigCount, primary_key=True),
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
    Column("kind", String(16), nullable=False, default="metric"),
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
    # What lists sort and filter by: of the definition, kept beside it, since ten thousand of them
    # take seconds to read. Names in the dimensions of one metric; none where there is no such.
    Column("severity", String(16), nullable=False, default="page"),
    # Whether all that it does is to have a variant scaled.
    Column("only_scales", Boolean, nullable=False, default=False),
    Column("monitor", FreeText),
    Column("endpoint", FreeText),
    # In small letters, each text on a line of its own.
    Column("search_text", FreeText),
    # Of the change to ALARM, while it lasts: what its datapoint said, and where that leads.
    Column("cause", FreeText),
    Column("link", Text),
    Index(None, "metric_key"),
    Index(None, "monitor"),
    Index(None, "cadence_s"),
    # Alarms that somebody changed since they were judged, asked for each second.
    Index(
        "ix_alerts_alarms_changed",
        "cadence_s",
        sqlite_where=text("seen_revision = -1"),
        postgresql_where=text("seen_revision = -1"),
    ),
    Index(None, "suppressed_until"),
    sqlite_autoincrement=True,  # Ids of deleted alarms are not given again: the outbox names them.
)
# What counts as trouble: an alarm that only scales does its work, and is nobody's.
FIRING = (alarms.c.state == "ALARM") & ~alarms.c.only_scales

history = Table(
    "alerts_history",
    metadata,
    Column("id", BigCount, primary_key=True),
    Column("alarm_id", BigCount, nullable=False),
    Column("alarm_name", String(255), nullable=False),
    Column("time", UtcDateTime, nullable=False),
    Column("type", String(32), nullable=False),
    Column("summary", FreeText, nullable=False),
    Column("data", JSON, nullable=False),
    Index(None, "alarm_name", "id"),
    Index(None, "time"),
    Index(None, "type", "id"),
)

# Which composite alarm looks at which other alarms.
links = Table(
    "alerts_alarm_links",
    metadata,
    Column("alarm_id", BigCount, ForeignKey("alerts_alarms.id"), primary_key=True),
    # By name: a rule may be stored before the alarm that it names, in the same transaction.
    Column("child", String(255), primary_key=True),
    # What it is to the composite: a child of its rule, or its suppressor.
    Column("role", String(16), primary_key=True),
    Index(None, "child"),
)

# How far the alarms that are evaluated on a schedule have been evaluated.
passes = Table(
    "alerts_passes",
    metadata,
    # Alarms of one cadence are judged in parts, so that several evaluators share the work.
    Column("cadence_s", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    # The newest tick whose evaluation is stored, and when judging began again after a pause.
    Column("judged_until", UtcDateTime),
    Column("resumed_at", UtcDateTime),
    Column("owner", String(36)),
    Column("lease_until", UtcDateTime),
)

detectors = Table(
    "alerts_detectors",
    metadata,
    # Digest of what is watched: one detector for each metric and statistic, or each expression.
    Column("id", String(32), primary_key=True),
    Column("subject", JSON, nullable=False),
    Column("configuration", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

models = Table(
    "alerts_detector_models",
    metadata,
    Column("id", BigCount, primary_key=True),
    Column("detector_id", String(32), ForeignKey("alerts_detectors.id"), nullable=False),
    # A statistic of five minutes scatters less than one of a minute: each period has its own model.
    Column("period_s", Integer, nullable=False),
    Column("state", String(32), nullable=False),
    Column("model", JSON(none_as_null=True)),
    Column("points", Integer, nullable=False, default=0),
    Column("problem", FreeText),
    Column("trained_at", UtcDateTime),
    # When it is to be trained next; pushed ahead by whoever takes it, so that two do not.
    Column("due_at", UtcDateTime, nullable=False),
    # Raised with each training and each change, so that readers see at a glance what is new.
    Column("version", BigCount, nullable=False, default=0),
    UniqueConstraint("detector_id", "period_s"),
    Index(None, "due_at"),
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
    Column("options", JSON, nullable=False, default=dict),
    # What else is secret, encrypted: a url with a token, a header.
    Column("sealed", JSON, nullable=False, default=dict),
)

outbox = Table(
    "alerts_outbox",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("alarm_id", BigCount, nullable=False),
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
    # "change": of one alarm's state; "group" and "reminder" carry the changes that name them.
    Column("kind", String(16), nullable=False, default="change"),
    # Why the message is in its status, for people.
    Column("reason", FreeText),
    # What silences and groups look at (labels), and what a message that carries it says of it.
    Column("facts", JSON, nullable=False, default=dict),
    Column("silence", String(255)),
    Column("group_key", Text),
    Column("carrier_id", String(64)),
    UniqueConstraint("alarm_id", "state_seq", "channel"),
    Index(None, "status", "next_attempt_at"),
    Index(None, "alarm_id", "channel", "status"),
    Index(None, "carrier_id"),
    Index(None, "created_at"),
)

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
