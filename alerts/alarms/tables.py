"""SQL table of this package: which composite alarm looks at which other alarms."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, String, Table

from driftline.alerts.tables import BigCount, metadata

CHILD = "child"
SUPPRESSOR = "suppressor"

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
