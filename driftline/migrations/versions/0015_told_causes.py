"""told causes

Revision: 0015
Follows: 0014
"""

import sqlalchemy as sa
from alembic import op


revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Executions of before say nothing: what lasts is told once more.
    with op.batch_alter_table('monitors_executions') as batch:
        batch.add_column(sa.Column('told_causes', sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('monitors_executions') as batch:
        batch.drop_column('told_causes')
