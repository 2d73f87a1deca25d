"""The initial schema: the tables of every package, as they are declared.

It is named after a digest of these tables, so that a database of others is refused: each change of
a declared table needs a new name here and of this file (tests/driftline/database/test_engine.py
says which).

Before a revision 0002 is added, this one must spell out the tables that it makes today: otherwise
a fresh database would already have what 0002 adds.
"""

import uuid

from alembic import op

from driftline.serving.tables import installation

revision = "0001bc5742be"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables in an empty database, and give the installation its id."""
    connection = op.get_bind()
    for metadata in op.get_context().opts["target_metadata"]:
        metadata.create_all(connection, checkfirst=False)
    connection.execute(installation.insert().values(id=str(uuid.uuid4())))
