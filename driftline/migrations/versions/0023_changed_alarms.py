"""changed alarms

Revision: 0023
Follows: 0022
"""

import sqlalchemy as sa
from alembic import op


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
    op.drop_index('ix_alerts_alarms_changed', 'alerts_alarms')
