"""target models

Revision: 0032
Follows: 0031
"""

import sqlalchemy as sa
from alembic import op

from driftline.migrations.specs import Spec, rewrite_specs, without

revision = '0032'
down_revision = '0031'
branch_labels = None
depends_on = None

_OF_MANY = ('mode', 'model_data_prefix', 'memory_limit_mb', 'disk_limit_mb')


def upgrade() -> None:
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.add_column(sa.Column('target_model', sa.String(1024), nullable=True))


def downgrade() -> None:
    rewrite_specs('Monitor', lambda spec: without(spec, 'target_model'))
    many = set()

    def of_one(spec: Spec) -> Spec | None:
        if spec.get('mode') != 'MultiModel':
            return without(spec, *_OF_MANY)
        return None

    resources = sa.table(
        'serving_resources', sa.column('kind'), sa.column('key'), sa.column('spec', sa.JSON())
    )
    of_models = sa.select(resources.c.key, resources.c.spec).where(resources.c.kind == 'Model')
    for key, spec in op.get_bind().execute(of_models).all():
        if of_one(spec) is None:
            many.add(key)

    def without_many(spec: Spec) -> Spec | None:
        """Remove an endpoint that has models which the older program cannot serve."""
        named = [spec.get('model')]
        for field in ('production_variants', 'shadow_production_variants'):
            named += [one['model_name'] for one in spec.get(field) or ()]
        return None if many & {name.casefold() for name in named if name} else spec

    rewrite_specs('Endpoint', without_many)
    rewrite_specs('Model', of_one)
    with op.batch_alter_table('monitors_definitions') as batch:
        batch.drop_column('target_model')
