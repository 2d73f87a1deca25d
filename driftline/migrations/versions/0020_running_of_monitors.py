"""running of monitors

Revision: 0020
Follows: 0019
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import rewrite_specs, without


revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None

ADDED: dict[str, tuple[tuple[str, sa.types.TypeEngine[Any], str | None], ...]] = {
    'monitors_definitions': (
        ('catch_up', sa.String(8), 'all'),
        ('timeout_s', sa.Float(), '86400'),
        ('priority', sa.Integer(), '0'),
    ),
    'monitors_leases': (
        ('attempts', sa.Integer(), '0'),
        ('failure', sa.Text(), None),
        ('retry_at', sa.DateTime(timezone=True), None),
    ),
}


def upgrade() -> None:
    for table, columns in ADDED.items():
        with op.batch_alter_table(table) as batch:
            for name, kind, default in columns:
                batch.add_column(
                    sa.Column(name, kind, nullable=default is None, server_default=default)
                )


def downgrade() -> None:
    added = [name for name, _, _ in ADDED['monitors_definitions']]
    rewrite_specs('Monitor', lambda spec: without(spec, *added))
    for table, columns in ADDED.items():
        with op.batch_alter_table(table) as batch:
            for name, _, _ in columns:
                batch.drop_column(name)
