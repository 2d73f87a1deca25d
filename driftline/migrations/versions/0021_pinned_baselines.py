"""pinned baselines

Revision: 0021
Follows: 0020
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import Spec, rewrite_specs, without


revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(
            sa.Column('baseline_pinned', sa.Boolean(), nullable=False, server_default=sa.false())
        )


def downgrade() -> None:
    rewrite_specs('Monitor', _unpinned)
    rewrite_specs('Baseline', lambda spec: without(spec, 'promote'))
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('baseline_pinned')


def _unpinned(spec: Spec) -> Spec:
    return {**spec, 'baseline': spec['baseline'].partition('@')[0]}

