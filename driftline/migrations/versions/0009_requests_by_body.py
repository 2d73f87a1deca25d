"""requests by body

Revision: 0009
Follows: 0008
"""

import sqlalchemy as sa
from alembic import op


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('alerts_requests', schema=None) as batch_op:
        batch_op.add_column(sa.Column('digest', sa.String(length=32), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('alerts_requests', schema=None) as batch_op:
        batch_op.drop_column('digest')
