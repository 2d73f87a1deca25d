"""order of monitors

Revision: 0025
Follows: 0024
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import rewrite_specs, without


revision = '0025'
down_revision = '0024'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('depends_on', sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        'monitors_places',
        sa.Column('work', sa.String(80), nullable=False),
        sa.Column('owner', sa.String(64), nullable=True),
        sa.Column('priority', sa.Integer(), nullable=False),
        sa.Column('is_request', sa.Boolean(), nullable=False),
        sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('work', name=op.f('pk_monitors_places')),
    )


def downgrade() -> None:
    op.drop_table('monitors_places')
    rewrite_specs('Monitor', lambda spec: without(spec, 'depends_on'))
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('depends_on')
