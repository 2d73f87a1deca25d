"""SQL tables of plain metrics: fresh samples, packed blocks, and ids of requests seen.

Times here are whole seconds since 1970: half the size of the databases' own, and they sort.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
)

from driftline.alerts.metrics.datapoint import UNITS
from driftline.alerts.tables import BigCount, UtcDateTime, metadata

# Samples of one slot lie side by side in the index, by metric: what is written in a minute touches
# few pages, and who reads the last minutes of thousands of metrics does, too.
SLOT_S: Final = 600

# What stands for a unit; 0 is "None". The order is fixed for ever: new ones go to the end.
UNIT_NAMES: Final = ("None", *sorted(UNITS - {"None"}))
UNIT_CODES: Final = {name: code for code, name in enumerate(UNIT_NAMES)}

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
