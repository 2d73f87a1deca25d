"""windows that are asked for, and how runs failed

Revision: 0035
Follows: 0034
"""

import sqlalchemy as sa
from alembic import op


revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INDEXES = {
    "ix_monitors_executions_started_at": ["started_at"],
    "ix_monitors_executions_status_started_at": ["status", "started_at"],
}


def upgrade() -> None:
    op.create_table(
        "monitors_asked_windows",
        sa.Column("monitor", sa.String(63), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.String(255), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint(
            "monitor", "window_start", "window_end", name=op.f("pk_monitors_asked_windows")
        ),
    )
    with op.batch_alter_table("monitors_executions") as batch:
        batch.add_column(sa.Column("failure_type", sa.String(64), nullable=True))
        batch.add_column(sa.Column("failure_record", BIG, nullable=True))
    for name, columns in INDEXES.items():
        op.create_index(op.f(name), "monitors_executions", columns)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(op.f(name), table_name="monitors_executions")
    with op.batch_alter_table("monitors_executions") as batch:
        batch.drop_column("failure_record")
        batch.drop_column("failure_type")
    op.drop_table("monitors_asked_windows")
