"""messages by policy

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    _extend_channels()
    _create_attempts()
    _extend_outbox()
    _index_history()
    _create_silences()
    _create_groups()
    _create_incidents()
    _create_rates()


def _extend_channels() -> None:
    with op.batch_alter_table('alerts_channels', schema=None) as batch_op:
        batch_op.add_column(sa.Column('options', sa.JSON(), server_default='{}', nullable=False))
        batch_op.add_column(sa.Column('sealed', sa.JSON(), server_default='{}', nullable=False))
        batch_op.add_column(
            sa.Column('previous_secret_until', sa.DateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(
            sa.Column(
                'announced_id',
                sa.BigInteger().with_variant(sa.Integer(), 'sqlite'),
                nullable=True,
            )
        )


def _create_attempts() -> None:
    op.create_table(
        'alerts_attempts',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
        sa.Column('message_id', sa.String(length=64), nullable=False),
        sa.Column('channel', sa.String(length=255), nullable=False),
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('time', sa.DateTime(timezone=True), nullable=False),
        sa.Column('duration_ms', sa.Integer(), nullable=False),
        sa.Column('outcome', sa.String(length=16), nullable=False),
        sa.Column('status', sa.Integer(), nullable=True),
        sa.Column('error', sa.Text(), nullable=True),
        sa.Column('answer', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_attempts')),
    )
    op.create_index('ix_alerts_attempts_channel', 'alerts_attempts', ['channel', 'id'])
    op.create_index('ix_alerts_attempts_message_id', 'alerts_attempts', ['message_id'])
    op.create_index('ix_alerts_attempts_time', 'alerts_attempts', ['time'])


def _extend_outbox() -> None:
    with op.batch_alter_table('alerts_outbox', schema=None) as batch_op:
        batch_op.add_column(
            sa.Column('kind', sa.String(length=16), server_default='change', nullable=False)
        )
        batch_op.add_column(sa.Column('reason', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('facts', sa.JSON(), server_default='{}', nullable=False))
        batch_op.add_column(sa.Column('silence', sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column('incident_id', sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column('group_key', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('carrier_id', sa.String(length=64), nullable=True))
        batch_op.create_index(batch_op.f('ix_alerts_outbox_carrier_id'), ['carrier_id'])
        batch_op.create_index(batch_op.f('ix_alerts_outbox_created_at'), ['created_at'])


def _index_history() -> None:
    op.create_index('ix_alerts_history_time', 'alerts_history', ['time'])
    op.create_index('ix_alerts_history_type_id', 'alerts_history', ['type', 'id'])


def _create_silences() -> None:
    op.create_table(
        'alerts_silences',
        sa.Column('name', sa.String(length=255), nullable=False),
        sa.Column('definition', sa.JSON(), nullable=False),
        sa.Column('starts_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('ends_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('expired_at', sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_alerts_silences')),
    )
    op.create_index('ix_alerts_silences_ends_at', 'alerts_silences', ['ends_at'])


def _create_groups() -> None:
    op.create_table(
        'alerts_groups',
        sa.Column('channel', sa.String(length=255), nullable=False),
        sa.Column('key', sa.Text(), nullable=False),
        sa.Column('told', sa.JSON(), nullable=False),
        sa.Column('sent_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('channel', 'key', name=op.f('pk_alerts_groups')),
    )
    op.create_index('ix_alerts_groups_due_at', 'alerts_groups', ['due_at'])


def _create_incidents() -> None:
    op.create_table(
        'alerts_incidents',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('endpoint', sa.String(length=1024), nullable=False),
        sa.Column('cause', sa.Text(), nullable=False),
        sa.Column('features', sa.JSON(), nullable=False),
        sa.Column('severity', sa.String(length=16), nullable=False),
        sa.Column('onset_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_incidents')),
    )
    op.create_index('ix_alerts_incidents_closed_at', 'alerts_incidents', ['closed_at'])
    op.create_index(
        'ix_alerts_incidents_endpoint_onset_at', 'alerts_incidents', ['endpoint', 'onset_at']
    )
    op.create_table(
        'alerts_incident_alarms',
        sa.Column('incident_id', sa.String(length=64), nullable=False),
        sa.Column(
            'alarm_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False
        ),
        sa.Column('alarm_name', sa.String(length=255), nullable=False),
        sa.Column('joined_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('left_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('count', sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ['incident_id'],
            ['alerts_incidents.id'],
            name=op.f('fk_alerts_incident_alarms_incident_id_alerts_incidents'),
        ),
        sa.PrimaryKeyConstraint(
            'incident_id', 'alarm_id', name=op.f('pk_alerts_incident_alarms')
        ),
    )
    op.create_index(
        'ix_alerts_incident_alarms_alarm_id_left_at',
        'alerts_incident_alarms',
        ['alarm_id', 'left_at'],
    )


def _create_rates() -> None:
    op.create_table(
        'alerts_rates',
        sa.Column('channel', sa.String(length=255), nullable=False),
        sa.Column('tokens', sa.Float(), nullable=False),
        sa.Column('time', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('channel', name=op.f('pk_alerts_rates')),
    )


def downgrade() -> None:
    for table in ('rates', 'incident_alarms', 'incidents', 'groups', 'silences'):
        op.drop_table(f'alerts_{table}')
    op.drop_index('ix_alerts_history_type_id', 'alerts_history')
    op.drop_index('ix_alerts_history_time', 'alerts_history')
    with op.batch_alter_table('alerts_outbox', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_alerts_outbox_created_at'))
        batch_op.drop_index(batch_op.f('ix_alerts_outbox_carrier_id'))
        for name in (
            'carrier_id',
            'group_key',
            'incident_id',
            'silence',
            'facts',
            'reason',
            'kind',
        ):
            batch_op.drop_column(name)
    op.drop_table('alerts_attempts')
    with op.batch_alter_table('alerts_channels', schema=None) as batch_op:
        batch_op.drop_column('announced_id')
        batch_op.drop_column('previous_secret_until')
        batch_op.drop_column('sealed')
        batch_op.drop_column('options')
