"""installation

Revision: 0013
Follows: 0012
"""

import uuid

import sqlalchemy as sa
from alembic import op


revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    installation = op.create_table(
        'serving_installation',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_serving_installation')),
    )
    op.bulk_insert(installation, [{'id': str(uuid.uuid4())}])


def downgrade() -> None:
    op.drop_table('serving_installation')
