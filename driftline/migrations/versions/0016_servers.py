"""servers

Revision: 0016
Follows: 0015
"""

import sqlalchemy as sa
from alembic import op


revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('serving_installation') as batch:
        batch.add_column(sa.Column('changes', sa.Integer(), nullable=False, server_default='0'))
    op.create_table('serving_servers',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('model_files', sa.JSON(), nullable=False),
    sa.Column('until', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_serving_servers')),
    )


def downgrade() -> None:
    op.drop_table('serving_servers')
    with op.batch_alter_table('serving_installation') as batch:
        batch.drop_column('changes')
