"""shadow variants

Revision: 0031
Follows: 0030
"""

from driftline.migrations.specs import rewrite_specs, without

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing: endpoints that were stored before have no shadow."""


def downgrade() -> None:
    rewrite_specs("Endpoint", lambda spec: without(spec, "shadow_production_variants"))
