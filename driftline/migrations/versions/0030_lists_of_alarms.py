"""what lists of alarms sort and filter by

Revision: 0030
Follows: 0029
"""

from typing import Any

import sqlalchemy as sa
from alembic import op


revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

ALARMS = sa.table(
    "alerts_alarms",
    *(sa.column(name) for name in ("id", "name", "kind", "state", "severity", "monitor")),
    *(sa.column(name) for name in ("endpoint", "search_text", "cause", "link")),
    sa.column("definition", sa.JSON()),
)
HISTORY = sa.table(
    "alerts_history",
    sa.column("id"),
    sa.column("alarm_id"),
    sa.column("type"),
    sa.column("data", sa.JSON()),
)
NAMES = ("severity", "monitor", "endpoint", "search_text", "cause", "link")


def upgrade() -> None:
    with op.batch_alter_table("alerts_alarms") as batch:
        batch.add_column(
            sa.Column("severity", sa.String(16), nullable=False, server_default="page")
        )
        for name in NAMES[1:]:
            batch.add_column(sa.Column(name, sa.Text(), nullable=True))
    connection = op.get_bind()
    rows = connection.execute(sa.select(ALARMS.c.id, ALARMS.c.name, ALARMS.c.definition)).all()
    values = [
        {"alarm": row.id, **{f"new_{name}": one for name, one in _listed(row).items()}}
        for row in rows
    ]
    if values:
        new: dict[str, object] = {name: sa.bindparam(f"new_{name}") for name in NAMES[:4]}
        query = ALARMS.update().where(ALARMS.c.id == sa.bindparam("alarm")).values(new)
        connection.execute(query, values)
    firing = connection.scalars(sa.select(ALARMS.c.id).where(ALARMS.c.state == "ALARM")).all()
    for alarm in firing:
        newest = (
            sa.select(HISTORY.c.data)
            .where(HISTORY.c.alarm_id == alarm, HISTORY.c.type == "StateUpdate")
            .order_by(HISTORY.c.id.desc())
            .limit(1)
        )
        data = connection.scalar(newest)
        note = data.get("note") if isinstance(data, dict) else None
        if isinstance(note, dict):
            kept = {name: note[name] for name in NAMES[4:] if isinstance(note.get(name), str)}
            if kept:
                connection.execute(ALARMS.update().where(ALARMS.c.id == alarm).values(kept))


def _listed(row: Any) -> dict[str, object]:
    """Return the columns of an alarm, of whatever can be read of its definition."""
    definition = row.definition if isinstance(row.definition, dict) else {}
    dimensions = definition.get("dimensions")
    dimensions = dimensions if isinstance(dimensions, dict) else {}
    named = {dimensions[name] for name in ("Endpoint", "EndpointName") if name in dimensions}
    severity = str(definition.get("severity") or "page")[:16]
    words = [row.name, severity, definition.get("metric_name"), definition.get("alarm_rule")]
    words = [str(word) for word in (*words, *dimensions.values()) if word]
    return {
        "severity": severity,
        "monitor": dimensions.get("MonitoringSchedule"),
        "endpoint": named.pop() if len(named) == 1 else None,
        "search_text": "".join(f"\n{word.casefold()}" for word in words) + "\n",
    }


def downgrade() -> None:
    with op.batch_alter_table("alerts_alarms") as batch:
        for name in NAMES:
            batch.drop_column(name)
