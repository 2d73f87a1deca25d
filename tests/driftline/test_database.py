import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect, text

from driftline.alerts.tables import metadata as alerts
from driftline.database import migrate, open_database
from driftline.errors import UnavailableError
from driftline.monitors.tables import metadata as monitors
from driftline.serving.tables import metadata as serving
from driftline.settings import SettingsError, load


def _url(path: Path) -> dict[str, str]:
    return {"DRIFTLINE_DATABASE__URL": f"sqlite:///{path}/rows.db"}


def test_migrations_make_exactly_the_tables_of_the_rooms(tmp_path: Path) -> None:
    engine = open_database(load(environment=_url(tmp_path)))

    migrate(engine)

    rooms: list[MetaData] = [alerts, monitors, serving]
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, rooms) == []  # type: ignore[arg-type]  # takes a list, too


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    engine = open_database(load(environment=_url(tmp_path)))

    first, second = migrate(engine), migrate(engine)

    assert first == second


def test_several_processes_may_migrate_at_once(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(migrate(open_database(load(environment=_url(tmp_path)))))
        )
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 1
    assert len(found) == 4


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    settings = load(environment=_url(tmp_path))
    writer, reader = open_database(settings), open_database(settings, read_only=True)
    migrate(writer)

    with writer.begin() as held, reader.connect() as looking:
        held.execute(text("CREATE TABLE kept (x INTEGER)"))

        assert not inspect(looking).has_table("kept")


def test_a_database_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "rows.db").mkdir()

    with pytest.raises(UnavailableError, match=r"rows\.db"):
        migrate(open_database(load(environment=_url(tmp_path))))


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UnavailableError, match=r"file/rows\.db: (File exists|Not a directory)"):
        open_database(load(environment=_url(tmp_path / "file")))


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    migrate(open_database(load(environment=_url(tmp_path))))

    files = list(tmp_path.glob("rows.db*"))
    assert files
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("nonsense", "is no database URL"), ("postgresql://u:secret@h/d", "keeps its rows in SQLite")],
)
def test_other_databases_are_refused_without_their_password(url: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as raised:
        open_database(load(environment={"DRIFTLINE_DATABASE__URL": url}))

    assert "secret" not in str(raised.value)
