"""access

Revision: 0017
Follows: 0016
"""

import sqlalchemy as sa
from alembic import op


revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None

# The audit log takes new rows only, from whatever program.
SQLITE = """
CREATE TRIGGER access_audit_no_{verb} BEFORE {verb} ON access_audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
POSTGRES = """
CREATE FUNCTION access_audit_append_only() RETURNS trigger AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$ LANGUAGE plpgsql
"""
POSTGRES_TRIGGER = """
CREATE TRIGGER access_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_audit
FOR EACH STATEMENT EXECUTE FUNCTION access_audit_append_only()
"""


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
    time = sa.DateTime(timezone=True)
    op.create_table('access_tokens',
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('roles', sa.JSON(), nullable=False),
    sa.Column('endpoints', sa.JSON(), nullable=True),
    sa.Column('created_by', sa.String(length=255), nullable=False),
    sa.Column('created_at', time, nullable=False),
    sa.Column('expires_at', time, nullable=True),
    sa.Column('revoked_at', time, nullable=True),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_access_tokens')),
    sa.UniqueConstraint('digest', name=op.f('uq_access_tokens_digest')),
    )
    op.create_table('access_sessions',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('subject', sa.String(length=255), nullable=False),
    sa.Column('roles', sa.JSON(), nullable=False),
    sa.Column('endpoints', sa.JSON(), nullable=True),
    sa.Column('token', sa.String(length=128), nullable=True),
    sa.Column('created_at', time, nullable=False),
    sa.Column('expires_at', time, nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_access_sessions')),
    )
    op.create_index(op.f('ix_access_sessions_expires_at'), 'access_sessions', ['expires_at'])
    op.create_table('access_audit',
    sa.Column('id', big, nullable=False),
    sa.Column('at', time, nullable=False),
    sa.Column('subject', sa.String(length=255), nullable=False),
    sa.Column('via', sa.String(length=16), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=True),
    sa.Column('before', sa.JSON(), nullable=True),
    sa.Column('after', sa.JSON(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_access_audit')),
    )
    op.create_index(op.f('ix_access_audit_at'), 'access_audit', ['at'])
    op.create_index('ix_access_audit_subject_id', 'access_audit', ['subject', 'id'])
    if op.get_bind().dialect.name == 'sqlite':
        for verb in ('UPDATE', 'DELETE'):
            op.execute(SQLITE.format(verb=verb))
    else:
        op.execute(POSTGRES)
        op.execute(POSTGRES_TRIGGER)


def downgrade() -> None:
    op.drop_table('access_audit')
    if op.get_bind().dialect.name != 'sqlite':
        op.execute('DROP FUNCTION access_audit_append_only()')
    op.drop_table('access_sessions')
    op.drop_table('access_tokens')
