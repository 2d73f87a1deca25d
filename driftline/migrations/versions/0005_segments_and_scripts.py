"""segments and scripts

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op


revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('segments', sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column('preprocess', sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column('postprocess', sa.String(length=255), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('monitors_definitions', schema=None) as batch_op:
        batch_op.drop_column('postprocess')
        batch_op.drop_column('preprocess')
        batch_op.drop_column('segments')
