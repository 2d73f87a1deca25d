"""time limits of monitors

Revision: 0027
Follows: 0026
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import rewrite_specs, without


revision = '0027'
down_revision = '0026'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('time_limit_s', sa.Float(), nullable=True))


def downgrade() -> None:
    rewrite_specs('Monitor', lambda spec: without(spec, 'time_limit_s'))
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('time_limit_s')
