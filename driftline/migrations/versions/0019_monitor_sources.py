"""monitor sources

Revision: 0019
Follows: 0018
"""

import sqlalchemy as sa
from alembic import op


revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('source', sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table('monitors_leases') as batch:
        batch.add_column(sa.Column('seen_files', sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('monitors_leases') as batch:
        batch.drop_column('seen_files')
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('source')
