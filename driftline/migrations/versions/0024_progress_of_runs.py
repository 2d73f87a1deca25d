"""progress of runs

Revision: 0024
Follows: 0023
"""

import sqlalchemy as sa
from alembic import op


revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_executions') as batch:
        for name in ('inputs', 'log'):
            batch.add_column(sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        'monitors_runs',
        sa.Column('monitor', sa.String(63), nullable=False),
        sa.Column('window_start', sa.DateTime(timezone=True), nullable=False),
        sa.Column('window_end', sa.DateTime(timezone=True), nullable=False),
        sa.Column('owner', sa.String(32), nullable=False),
        sa.Column('stage', sa.String(32), nullable=False),
        sa.Column(
            'rows_read', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False
        ),
        sa.Column('log', sa.JSON(), nullable=False),
        sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('stopped_by', sa.String(255), nullable=True),
        sa.PrimaryKeyConstraint(
            'monitor', 'window_start', 'window_end', name=op.f('pk_monitors_runs')
        ),
    )


def downgrade() -> None:
    op.drop_table('monitors_runs')
    # An older program would look for their reports.
    executions = sa.table('monitors_executions', sa.column('status', sa.String()))
    stopped = executions.c.status == 'Stopped'
    op.execute(executions.update().where(stopped).values(status='Failed'))
    with op.batch_alter_table('monitors_executions') as batch:
        for name in ('inputs', 'log'):
            batch.drop_column(name)
