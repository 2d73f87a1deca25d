"""SQL table of this package: how far the alarms that live by the clock have been judged."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table

from driftline.alerts.tables import UtcDateTime, metadata

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
