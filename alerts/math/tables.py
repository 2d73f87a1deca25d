"""SQL tables of this package: detectors, and what they learnt for each length of period."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from driftline.alerts.tables import BigCount, FreeText, UtcDateTime, metadata

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
