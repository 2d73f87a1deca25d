"""monitor sources

Revision: 0019
Follows: 0018
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import Spec, rewrite_specs, without


revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('source', sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table('monitors_leases') as batch:
        batch.add_column(sa.Column('seen_files', sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    # Without its source a monitor would watch nothing, and could not be read.
    definitions = sa.table(
        'monitors_definitions', sa.column('name', sa.String()), sa.column('source', sa.JSON())
    )
    leases = sa.table('monitors_leases', sa.column('monitor', sa.String()))
    is_of_table = definitions.c.source.is_not(sa.null())
    of_tables = sa.select(definitions.c.name).where(is_of_table)
    op.execute(leases.delete().where(leases.c.monitor.in_(of_tables)))
    op.execute(definitions.delete().where(is_of_table))
    rewrite_specs('Monitor', _of_endpoint)
    with op.batch_alter_table('monitors_leases') as batch:
        batch.drop_column('seen_files')
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('source')


def _of_endpoint(spec: Spec) -> Spec | None:
    return without(spec, 'source') if spec.get('source') is None else None
