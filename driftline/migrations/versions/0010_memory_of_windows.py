"""memory of windows

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op


revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'monitors_count_layouts',
        sa.Column('id', sa.String(length=16), nullable=False),
        sa.Column('columns', sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_monitors_count_layouts')),
    )
    op.create_table(
        'monitors_window_counts',
        sa.Column('monitor', sa.String(length=63), nullable=False),
        sa.Column('window_start', sa.DateTime(timezone=True), nullable=False),
        sa.Column('window_end', sa.DateTime(timezone=True), nullable=False),
        sa.Column('source', sa.String(length=16), nullable=False),
        sa.Column('baseline_version', sa.String(length=64), nullable=False),
        sa.Column(
            'row_count', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False
        ),
        sa.Column('layout', sa.String(length=16), nullable=False),
        sa.Column('counts', sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ['layout'],
            ['monitors_count_layouts.id'],
            name=op.f('fk_monitors_window_counts_layout'),
        ),
        sa.PrimaryKeyConstraint(
            'monitor', 'window_start', 'window_end', name=op.f('pk_monitors_window_counts')
        ),
    )
    op.create_table(
        'monitors_commissions',
        sa.Column('monitor', sa.String(length=63), nullable=False),
        sa.Column('source', sa.String(length=16), nullable=False),
        sa.Column('baseline_version', sa.String(length=64), nullable=False),
        sa.Column('begun_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('fitted_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('told_start', sa.DateTime(timezone=True), nullable=True),
        sa.Column('told_end', sa.DateTime(timezone=True), nullable=True),
        sa.Column('finding', sa.JSON(none_as_null=True), nullable=True),
        sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('accepted_by', sa.String(length=255), nullable=True),
        sa.Column('accepted_reason', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint(
            'monitor', 'source', 'baseline_version', name=op.f('pk_monitors_commissions')
        ),
    )


def downgrade() -> None:
    op.drop_table('monitors_commissions')
    op.drop_table('monitors_window_counts')
    op.drop_table('monitors_count_layouts')
