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
    rewrite_specs('Baseline', _of_files)
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('baseline_pinned')


def _unpinned(spec: Spec) -> Spec:
    return {**spec, 'baseline': spec['baseline'].partition('@')[0]}


def _of_files(spec: Spec) -> Spec:
    # Of captured rows the version that was made of them is what is left.
    data = [] if isinstance(spec['data'], dict) else spec['data']
    return {**without(spec, 'promote', 'rolling'), 'data': data}
