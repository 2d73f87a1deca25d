"""monitors as sagemaker

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('compat', sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column('deequ_ties', sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table('monitors_definitions', schema=None) as batch_op:
        batch_op.drop_column('deequ_ties')
        batch_op.drop_column('compat')
