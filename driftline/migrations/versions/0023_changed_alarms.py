"""changed alarms

Revision: 0023
Follows: 0022
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import Spec, rewrite_specs, without


revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None

CHANGED = sa.text('seen_revision = -1')


def upgrade() -> None:
    op.create_index(
        'ix_alerts_alarms_changed',
        'alerts_alarms',
        ['cadence_s'],
        sqlite_where=CHANGED,
        postgresql_where=CHANGED,
    )


def downgrade() -> None:
    # Needed no migration: programs of this revision came to read them, those of 0022 do not.
    rewrite_specs('Baseline', _of_files)
    op.drop_index('ix_alerts_alarms_changed', 'alerts_alarms')


def _of_files(spec: Spec) -> Spec:
    # Of captured rows the version that was made of them is what is left.
    data = [] if isinstance(spec['data'], dict) else spec['data']
    return {**without(spec, 'rolling'), 'data': data}
