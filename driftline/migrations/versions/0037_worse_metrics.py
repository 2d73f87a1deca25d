"""metrics worse than the reference within their bounds

Revision: 0037
Follows: 0036
"""

import sqlalchemy as sa
from alembic import op


revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Executions of before do not say: their windows are shown as before.
    with op.batch_alter_table("monitors_executions") as batch:
        batch.add_column(sa.Column("worse_count", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("monitors_executions") as batch:
        batch.drop_column("worse_count")
