"""states of monitors

Revision: 0033
Follows: 0032
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op


revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

NEWEST = 30
NO_LABELS = "no ground truth has come"
STATES = {"Failed": "failed", "NoData": "empty", "Stopped": "stopped"}
EXECUTIONS = sa.table(
    "monitors_executions",
    *(sa.column(name) for name in ("id", "monitor", "endpoint", "status", "failure_reason")),
    *(sa.column(name) for name in ("baseline_version", "row_count", "request_count")),
    *(sa.column(name) for name in ("violation_count", "page_count", "max_drift_ratio")),
    sa.column("is_current", sa.Boolean()),
    *(
        sa.column(name, sa.DateTime(timezone=True))
        for name in ("window_start", "window_end", "finished_at")
    ),
)


def upgrade() -> None:
    with op.batch_alter_table("monitors_executions") as batch:
        batch.add_column(sa.Column("drift_ratios", sa.JSON(none_as_null=True), nullable=True))
    op.create_index(op.f("ix_alerts_alarms_monitor"), "alerts_alarms", ["monitor"])
    states = op.create_table(
        "monitors_states",
        sa.Column("monitor", sa.String(63), nullable=False),
        sa.Column("execution", sa.String(36), nullable=False),
        sa.Column("windows", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("monitor", name=op.f("pk_monitors_states")),
    )
    connection, table = op.get_bind(), EXECUTIONS.c
    for monitor in connection.scalars(sa.select(table.monitor).distinct()).all():
        query = (
            sa.select(EXECUTIONS)
            .where(table.monitor == monitor, table.is_current)
            .order_by(table.window_start.desc(), table.finished_at.desc())
            .limit(NEWEST)
        )
        windows = [_window(row) for row in connection.execute(query)][::-1]
        if windows:
            judged = [one["execution"] for one in windows if one["state"] != "unlabelled"]
            row = {"monitor": monitor, "windows": windows}
            newest = (judged or [windows[-1]["execution"]])[-1]
            connection.execute(states.insert().values(execution=newest, **row))


def _window(row: Any) -> dict[str, object]:
    """Return a window in the fields of `StateOfWindow`; labels are counted from the next on."""
    has_report = row.status not in STATES
    state = STATES.get(row.status) or ("violations" if row.violation_count else "ok")
    if not has_report and (row.failure_reason or "").startswith(NO_LABELS):
        state = "unlabelled"
    elif row.status == "InsufficientData":
        state = "insufficient"
    return {
        "execution": row.id,
        "endpoint": row.endpoint,
        "start": _text(row.window_start),
        "end": _text(row.window_end),
        "state": state,
        "baseline_version": row.baseline_version,
        "rows": row.row_count if has_report else None,
        "requests": row.request_count,
        "violations": row.violation_count,
        "pages": row.page_count,
        "ratio": row.max_drift_ratio,
        "labelled": None,
        "expected": None,
    }


def _text(time: datetime) -> str:
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.isoformat()


def downgrade() -> None:
    op.drop_table("monitors_states")
    op.drop_index(op.f("ix_alerts_alarms_monitor"), table_name="alerts_alarms")
    with op.batch_alter_table("monitors_executions") as batch:
        batch.drop_column("drift_ratios")
