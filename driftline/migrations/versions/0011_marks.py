"""marks

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op


revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'monitors_marks',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
        sa.Column('monitor', sa.String(length=63), nullable=False),
        sa.Column('feature', sa.Text(), nullable=True),
        sa.Column('check_type', sa.String(length=64), nullable=True),
        sa.Column('window_start', sa.DateTime(timezone=True), nullable=False),
        sa.Column('window_end', sa.DateTime(timezone=True), nullable=False),
        sa.Column('until', sa.DateTime(timezone=True), nullable=True),
        sa.Column('verdict', sa.String(length=16), nullable=False),
        sa.Column('author', sa.Text(), nullable=False),
        sa.Column('reason', sa.Text(), nullable=False),
        sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('baseline_version_before', sa.String(length=64), nullable=True),
        sa.Column('baseline_version_after', sa.String(length=64), nullable=True),
        sa.Column('rows_from', sa.DateTime(timezone=True), nullable=True),
        sa.Column('rows_to', sa.DateTime(timezone=True), nullable=True),
        sa.Column('withdrawn_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('withdrawn_by', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_monitors_marks')),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table('monitors_marks', schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f('ix_monitors_marks_monitor_window_start'),
            ['monitor', 'window_start'],
            unique=False,
        )


def downgrade() -> None:
    with op.batch_alter_table('monitors_marks', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_monitors_marks_monitor_window_start'))
    op.drop_table('monitors_marks')
