"""metrics kept long

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    with op.batch_alter_table('alerts_metrics', schema=None) as batch_op:
        batch_op.add_column(sa.Column('active_at', sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table('alerts_datapoints', schema=None) as batch_op:
        batch_op.add_column(sa.Column('distribution', sa.LargeBinary(), nullable=True))
    op.create_table('alerts_samples',
    sa.Column('id', BIG, nullable=False),
    sa.Column('slot', sa.Integer(), nullable=False),
    sa.Column('metric_id', sa.BigInteger(), nullable=False),
    sa.Column('time', sa.BigInteger(), nullable=False),
    sa.Column('resolution_s', sa.SmallInteger(), nullable=False),
    sa.Column('unit', sa.SmallInteger(), nullable=False),
    sa.Column('sample_count', sa.Float(), nullable=False),
    sa.Column('sum', sa.Float(), nullable=False),
    sa.Column('minimum', sa.Float(), nullable=True),
    sa.Column('maximum', sa.Float(), nullable=True),
    sa.Column('distribution', sa.LargeBinary(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_samples'))
    )
    with op.batch_alter_table('alerts_samples', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_samples_slot_metric_id'), ['slot', 'metric_id'], unique=False)
    op.create_table('alerts_blocks',
    sa.Column('metric_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('start', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('level_s', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('unit', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('metric_id', 'start', 'level_s', 'unit', name=op.f('pk_alerts_blocks'))
    )
    with op.batch_alter_table('alerts_blocks', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_blocks_level_s_start'), ['level_s', 'start'], unique=False)
    op.create_table('alerts_requests',
    sa.Column('id', sa.String(length=128), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_requests'))
    )
    with op.batch_alter_table('alerts_requests', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_requests_received_at'), ['received_at'], unique=False)


def downgrade() -> None:
    op.drop_table('alerts_requests')
    op.drop_table('alerts_blocks')
    op.drop_table('alerts_samples')
    with op.batch_alter_table('alerts_datapoints', schema=None) as batch_op:
        batch_op.drop_column('distribution')
    with op.batch_alter_table('alerts_metrics', schema=None) as batch_op:
        batch_op.drop_column('active_at')
