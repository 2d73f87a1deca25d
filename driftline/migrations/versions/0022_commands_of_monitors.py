"""commands of monitors

Revision: 0022
Follows: 0021
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import Spec, rewrite_specs, without


revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('command', sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    # Nobody would know their kind.
    definitions = sa.table(
        'monitors_definitions', sa.column('name', sa.String()), sa.column('kind', sa.String())
    )
    leases = sa.table('monitors_leases', sa.column('monitor', sa.String()))
    is_command = definitions.c.kind == 'command'
    named = sa.select(definitions.c.name).where(is_command)
    op.execute(leases.delete().where(leases.c.monitor.in_(named)))
    op.execute(definitions.delete().where(is_command))
    rewrite_specs('Monitor', _without_command)
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('command')


def _without_command(spec: Spec) -> Spec | None:
    return None if spec.get('kind') == 'command' else without(spec, 'command')
