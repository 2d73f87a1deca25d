"""variants

Revision: 0026
Follows: 0025
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import Spec, rewrite_specs, without

revision = '0026'
down_revision = '0025'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('variant', sa.String(63), nullable=True))


def downgrade() -> None:
    rewrite_specs('Monitor', lambda spec: without(spec, 'variant'))
    rewrite_specs('Endpoint', _with_one_variant)
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('variant')


def _with_one_variant(spec: Spec) -> Spec:
    """Leave of several variants the one with the largest weight."""
    found = without(spec, 'production_variants')
    if variants := spec.get('production_variants'):
        main = max(variants, key=lambda one: one['initial_variant_weight'])
        found |= {
            'model': main['model_name'],
            'variant': main['variant_name'],
            'initial_instance_count': main['initial_instance_count'],
        }
    return found
