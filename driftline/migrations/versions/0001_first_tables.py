"""first tables

Revision: 0001
Follows: 
"""

import sqlalchemy as sa
from alembic import op


revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_alarms()
    _create_channels()
    _create_history()
    _create_metrics()
    _create_outbox()
    _create_datapoints()
    _create_definitions()
    _create_executions()
    _create_leases()
    _create_resources()


def _create_alarms() -> None:
    op.create_table('alerts_alarms',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('definition', sa.JSON(), nullable=False),
    sa.Column('metric_key', sa.String(length=32), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('state_reason', sa.Text(), nullable=False),
    sa.Column('state_reason_data', sa.Text(), nullable=True),
    sa.Column('state_changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state_seq', sa.Integer(), nullable=False),
    sa.Column('evaluated_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('start_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('phase_s', sa.Integer(), nullable=True),
    sa.Column('seen_revision', sa.Integer(), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_alarms')),
    sa.UniqueConstraint('name', name=op.f('uq_alerts_alarms_name')),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('alerts_alarms', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_alarms_metric_key'), ['metric_key'], unique=False)


def _create_channels() -> None:
    op.create_table('alerts_channels',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('type', sa.String(length=32), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('format', sa.String(length=32), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('disabled_reason', sa.Text(), nullable=True),
    sa.Column('failure_count', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_alerts_channels'))
    )


def _create_history() -> None:
    op.create_table('alerts_history',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('alarm_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('alarm_name', sa.String(length=255), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('type', sa.String(length=32), nullable=False),
    sa.Column('summary', sa.Text(), nullable=False),
    sa.Column('data', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_history'))
    )
    with op.batch_alter_table('alerts_history', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_history_alarm_name_id'), ['alarm_name', 'id'], unique=False)


def _create_metrics() -> None:
    op.create_table('alerts_metrics',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('key', sa.String(length=32), nullable=False),
    sa.Column('namespace', sa.String(length=255), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('dimensions', sa.JSON(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('covered_until', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_metrics')),
    sa.UniqueConstraint('key', name=op.f('uq_alerts_metrics_key'))
    )
    with op.batch_alter_table('alerts_metrics', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_metrics_namespace_name'), ['namespace', 'name'], unique=False)


def _create_outbox() -> None:
    op.create_table('alerts_outbox',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('alarm_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('alarm_name', sa.String(length=255), nullable=False),
    sa.Column('state_seq', sa.Integer(), nullable=False),
    sa.Column('channel', sa.String(length=255), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('content_type', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lease_owner', sa.String(length=36), nullable=True),
    sa.Column('last_status', sa.Integer(), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('last_response', sa.Text(), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_outbox')),
    sa.UniqueConstraint('alarm_id', 'state_seq', 'channel', name=op.f('uq_alerts_outbox_alarm_id_state_seq_channel'))
    )
    with op.batch_alter_table('alerts_outbox', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_outbox_alarm_id_channel_status'), ['alarm_id', 'channel', 'status'], unique=False)
        batch_op.create_index(batch_op.f('ix_alerts_outbox_status_next_attempt_at'), ['status', 'next_attempt_at'], unique=False)


def _create_datapoints() -> None:
    op.create_table('alerts_datapoints',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('metric_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('source', sa.String(length=255), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('period_s', sa.Integer(), nullable=False),
    sa.Column('unit', sa.String(length=32), nullable=True),
    sa.Column('sample_count', sa.Float(), nullable=False),
    sa.Column('sum', sa.Float(), nullable=False),
    sa.Column('minimum', sa.Float(), nullable=False),
    sa.Column('maximum', sa.Float(), nullable=False),
    sa.Column('note', sa.JSON(none_as_null=True), nullable=True),
    sa.ForeignKeyConstraint(['metric_id'], ['alerts_metrics.id'], name=op.f('fk_alerts_datapoints_metric_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alerts_datapoints'))
    )
    with op.batch_alter_table('alerts_datapoints', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_alerts_datapoints_metric_id_time'), ['metric_id', 'time'], unique=False)
        batch_op.create_index(batch_op.f('ix_alerts_datapoints_source'), ['source'], unique=False)


def _create_definitions() -> None:
    op.create_table('monitors_definitions',
    sa.Column('name', sa.String(length=63), nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('endpoint', sa.String(length=63), nullable=False),
    sa.Column('baseline', sa.String(length=255), nullable=False),
    sa.Column('baseline_version', sa.String(length=64), nullable=True),
    sa.Column('schedule', sa.String(length=256), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('false_alarms_per_year', sa.Float(), nullable=False),
    sa.Column('start', sa.DateTime(timezone=True), nullable=True),
    sa.Column('delay_s', sa.Float(), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=True),
    sa.Column('tags', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_monitors_definitions'))
    )
    with op.batch_alter_table('monitors_definitions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_monitors_definitions_endpoint'), ['endpoint'], unique=False)


def _create_executions() -> None:
    op.create_table('monitors_executions',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('monitor', sa.String(length=63), nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('endpoint', sa.String(length=63), nullable=False),
    sa.Column('definition_version', sa.Integer(), nullable=False),
    sa.Column('baseline', sa.String(length=255), nullable=False),
    sa.Column('baseline_version', sa.String(length=64), nullable=False),
    sa.Column('window_start', sa.DateTime(timezone=True), nullable=False),
    sa.Column('window_end', sa.DateTime(timezone=True), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('failure_reason', sa.Text(), nullable=True),
    sa.Column('is_current', sa.Boolean(), nullable=False),
    sa.Column('row_count', sa.Integer(), nullable=False),
    sa.Column('request_count', sa.Integer(), nullable=False),
    sa.Column('violation_count', sa.Integer(), nullable=False),
    sa.Column('page_count', sa.Integer(), nullable=False),
    sa.Column('max_drift_ratio', sa.Float(), nullable=True),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('folder', sa.Text(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_monitors_executions'))
    )
    with op.batch_alter_table('monitors_executions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_monitors_executions_monitor_window_start'), ['monitor', 'window_start'], unique=False)


def _create_leases() -> None:
    op.create_table('monitors_leases',
    sa.Column('monitor', sa.String(length=63), nullable=False),
    sa.Column('done_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('owner', sa.String(length=64), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('monitor', name=op.f('pk_monitors_leases'))
    )


def _create_resources() -> None:
    op.create_table('serving_resources',
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('key', sa.String(length=255), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=True),
    sa.Column('tags', sa.JSON(), nullable=False),
    sa.Column('spec', sa.JSON(), nullable=False),
    sa.Column('made', sa.JSON(), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('kind', 'key', name=op.f('pk_serving_resources'))
    )


def downgrade() -> None:
    # ### commands auto generated by Alembic - please adjust! ###
    op.drop_table('serving_resources')
    op.drop_table('monitors_leases')
    with op.batch_alter_table('monitors_executions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_monitors_executions_monitor_window_start'))

    op.drop_table('monitors_executions')
    with op.batch_alter_table('monitors_definitions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_monitors_definitions_endpoint'))

    op.drop_table('monitors_definitions')
    with op.batch_alter_table('alerts_datapoints', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_alerts_datapoints_source'))
        batch_op.drop_index(batch_op.f('ix_alerts_datapoints_metric_id_time'))

    op.drop_table('alerts_datapoints')
    with op.batch_alter_table('alerts_outbox', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_alerts_outbox_status_next_attempt_at'))
        batch_op.drop_index(batch_op.f('ix_alerts_outbox_alarm_id_channel_status'))

    op.drop_table('alerts_outbox')
    with op.batch_alter_table('alerts_metrics', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_alerts_metrics_namespace_name'))

    op.drop_table('alerts_metrics')
    with op.batch_alter_table('alerts_history', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_alerts_history_alarm_name_id'))

    op.drop_table('alerts_history')
    op.drop_table('alerts_channels')
    with op.batch_alter_table('alerts_alarms', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_alerts_alarms_metric_key'))

    op.drop_table('alerts_alarms')
    # ### end Alembic commands ###
