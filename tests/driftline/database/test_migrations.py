"""The schema's revisions."""

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import driftline.migrations
from driftline.database.migrations import known_revisions, migrate


def test_the_known_revisions_are_those_that_alembic_walks() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(driftline.migrations.__file__).parent))

    walked = tuple(one.revision for one in ScriptDirectory.from_config(config).walk_revisions())

    assert known_revisions() == walked


def test_a_schema_that_is_up_to_date_is_left_alone_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/driftline.db"
    engine = create_engine(url)
    assert migrate(engine) == known_revisions()[0]
    engine.dispose()
    code = (
        "import sys; from sqlalchemy import create_engine; "
        "from driftline.database.migrations import migrate; "
        f"print(migrate(create_engine({url!r})), 'alembic' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [known_revisions()[0], "False"]
