"""windows judged again

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

# What counts up for ever; SQLite's INTEGER has 64 bits already.
COUNTS = (
    ('alerts_alarms', 'state_seq'),
    ('alerts_alarms', 'seen_revision'),
    ('alerts_metrics', 'revision'),
    ('alerts_outbox', 'state_seq'),
    ('monitors_executions', 'row_count'),
    ('monitors_executions', 'request_count'),
)


def upgrade() -> None:
    _set_counts(sa.Integer(), sa.BigInteger())
    with op.batch_alter_table('monitors_leases', schema=None) as batch_op:
        batch_op.add_column(sa.Column('seen_capture', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True))
        batch_op.add_column(sa.Column('seen_truth', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True))
        batch_op.add_column(sa.Column('touched', sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column('revisited_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('monitors_leases', schema=None) as batch_op:
        batch_op.drop_column('revisited_at')
        batch_op.drop_column('touched')
        batch_op.drop_column('seen_truth')
        batch_op.drop_column('seen_capture')
    _set_counts(sa.BigInteger(), sa.Integer())


def _set_counts(before: sa.Integer, after: sa.Integer) -> None:
    if op.get_bind().dialect.name == 'sqlite':
        return
    for table, column in COUNTS:
        op.alter_column(table, column, existing_type=before, type_=after, existing_nullable=False)
