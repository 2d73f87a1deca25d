"""time zones

Revision: 0018
Follows: 0017
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import rewrite_specs, without


revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('time_zone', sa.String(64), nullable=False, server_default='UTC'))


def downgrade() -> None:
    rewrite_specs('Monitor', lambda spec: without(spec, 'time_zone'))
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('time_zone')
