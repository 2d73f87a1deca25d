"""estimates that labels contradict

Revision: 0036
Follows: 0035
"""

import sqlalchemy as sa
from alembic import op


revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TESTED = sa.text("estimates_denied IS NOT NULL")


def upgrade() -> None:
    # Executions of before say nothing: estimates go on until labels are held against them again.
    with op.batch_alter_table("monitors_executions") as batch:
        batch.add_column(sa.Column("estimates_denied", sa.Boolean(), nullable=True))
    op.create_index(
        "ix_monitors_executions_tested",
        "monitors_executions",
        ["monitor", "window_start"],
        sqlite_where=TESTED,
        postgresql_where=TESTED,
    )


def downgrade() -> None:
    op.drop_index("ix_monitors_executions_tested", "monitors_executions")
    with op.batch_alter_table("monitors_executions") as batch:
        batch.drop_column("estimates_denied")
