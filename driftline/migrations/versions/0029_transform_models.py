"""models of transform jobs

Revision: 0029
Follows: 0028
"""

import sqlalchemy as sa
from alembic import op


revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("serving_transform_jobs", sa.Column("model", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("serving_transform_jobs") as table:
        table.drop_column("model")
