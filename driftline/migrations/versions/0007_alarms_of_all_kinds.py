"""alarms of all kinds

Revision: 0007
Follows: 0006
"""

import sqlalchemy as sa
from alembic import op


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    _extend_alarms()
    _create_links()
    _create_passes()
    _create_detectors()


def _extend_alarms() -> None:
    with op.batch_alter_table('alerts_alarms', schema=None) as batch_op:
        batch_op.add_column(
            sa.Column('kind', sa.String(length=16), server_default='metric', nullable=False)
        )
        batch_op.add_column(
            sa.Column('state_updated_at', sa.DateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(sa.Column('evaluation_state', sa.String(length=24), nullable=True))
        batch_op.add_column(sa.Column('evaluation_problem', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('suppressed_by', sa.String(length=16), nullable=True))
        batch_op.add_column(
            sa.Column('suppressed_until', sa.DateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(sa.Column('held_from', sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column('cadence_s', sa.Integer(), nullable=True))
        batch_op.create_index(
            batch_op.f('ix_alerts_alarms_suppressed_until'), ['suppressed_until'], unique=False
        )
        batch_op.create_index(
            batch_op.f('ix_alerts_alarms_cadence_s'), ['cadence_s'], unique=False
        )


def _create_links() -> None:
    op.create_table(
        'alerts_alarm_links',
        sa.Column(
            'alarm_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False
        ),
        sa.Column('child', sa.String(length=255), nullable=False),
        sa.Column('role', sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ['alarm_id'], ['alerts_alarms.id'], name=op.f('fk_alerts_alarm_links_alarm_id')
        ),
        sa.PrimaryKeyConstraint('alarm_id', 'child', 'role', name=op.f('pk_alerts_alarm_links')),
    )
    with op.batch_alter_table('alerts_alarm_links', schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f('ix_alerts_alarm_links_child'), ['child'], unique=False
        )


def _create_passes() -> None:
    op.create_table(
        'alerts_passes',
        sa.Column('cadence_s', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('part', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('judged_until', sa.DateTime(timezone=True), nullable=True),
        sa.Column('resumed_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('owner', sa.String(length=36), nullable=True),
        sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('cadence_s', 'part', name=op.f('pk_alerts_passes')),
    )


def _create_detectors() -> None:
    op.create_table(
        'alerts_detectors',
        sa.Column('id', sa.String(length=32), nullable=False),
        sa.Column('subject', sa.JSON(), nullable=False),
        sa.Column('configuration', sa.JSON(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_detectors')),
    )
    op.create_table(
        'alerts_detector_models',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
        sa.Column('detector_id', sa.String(length=32), nullable=False),
        sa.Column('period_s', sa.Integer(), nullable=False),
        sa.Column('state', sa.String(length=32), nullable=False),
        sa.Column('model', sa.JSON(none_as_null=True), nullable=True),
        sa.Column('points', sa.Integer(), nullable=False),
        sa.Column('problem', sa.Text(), nullable=True),
        sa.Column('trained_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            'version', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ['detector_id'],
            ['alerts_detectors.id'],
            name=op.f('fk_alerts_detector_models_detector_id'),
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_detector_models')),
        sa.UniqueConstraint(
            'detector_id', 'period_s', name=op.f('uq_alerts_detector_models_detector_id_period_s')
        ),
    )
    with op.batch_alter_table('alerts_detector_models', schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f('ix_alerts_detector_models_due_at'), ['due_at'], unique=False
        )


def downgrade() -> None:
    op.drop_table('alerts_detector_models')
    op.drop_table('alerts_detectors')
    op.drop_table('alerts_passes')
    op.drop_table('alerts_alarm_links')
    with op.batch_alter_table('alerts_alarms', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_alerts_alarms_cadence_s'))
        batch_op.drop_index(batch_op.f('ix_alerts_alarms_suppressed_until'))
        for name in (
            'cadence_s',
            'held_from',
            'suppressed_until',
            'suppressed_by',
            'evaluation_problem',
            'evaluation_state',
            'state_updated_at',
            'kind',
        ):
            batch_op.drop_column(name)
