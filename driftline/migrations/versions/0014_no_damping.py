"""no damping

Revision: 0014
Follows: 0013
"""

import sqlalchemy as sa
from alembic import op


revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

REMOVED = ('damp_flapping', 'supersede_backlog')


def upgrade() -> None:
    # Of what damping held back, the alarm's present state is sent; all else was over before that.
    outbox = sa.table(
        'alerts_outbox', sa.column('status', sa.String()), sa.column('finished_at', sa.DateTime()),
        sa.column('created_at', sa.DateTime()), sa.column('alarm_id'), sa.column('state_seq'),
    )
    alarms = sa.table('alerts_alarms', sa.column('id'), sa.column('state_seq'))
    damped = outbox.c.status == 'damped'
    is_open = outbox.c.finished_at.is_(None)
    is_present = sa.exists().where(
        alarms.c.id == outbox.c.alarm_id, alarms.c.state_seq == outbox.c.state_seq
    )
    op.execute(outbox.update().where(damped, is_open, is_present).values(status='pending'))
    finished = sa.func.coalesce(outbox.c.finished_at, outbox.c.created_at)
    op.execute(outbox.update().where(damped).values(status='superseded', finished_at=finished))
    _remove('alerts_channels', 'options', ['name'])
    _remove('serving_resources', 'spec', ['kind', 'key'])


def downgrade() -> None:
    """Leave what was sent."""


def _remove(name: str, column: str, keys: list[str]) -> None:
    """Remove the options from a column of JSON objects."""
    columns = [sa.column(key, sa.String()) for key in keys]
    table = sa.table(name, sa.column(column, sa.JSON()), *columns)
    connection = op.get_bind()
    for row in connection.execute(sa.select(table)).mappings().all():
        stored = row[column]
        kept = {key: value for key, value in stored.items() if key not in REMOVED}
        if kept != stored:
            same = [table.c[key] == row[key] for key in keys]
            connection.execute(table.update().where(*same).values({column: kept}))
