"""The initial schema: the tables of every package, as they are declared.

Before a revision 0002 is added, this one must spell out the tables that it makes today: otherwise
a fresh database would already have what 0002 adds.
"""

import uuid

from alembic import op

from driftline.serving.tables import installation

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables in an empty database, and give the installation its id."""
    connection = op.get_bind()
    for metadata in op.get_context().opts["target_metadata"]:
        metadata.create_all(connection, checkfirst=False)
    connection.execute(installation.insert().values(id=str(uuid.uuid4())))
