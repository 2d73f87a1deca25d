"""What was backed up comes back as it was, and damage is refused."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from driftline.app.backup import MANIFEST, back_up, restore
from driftline.capture.spool.writer import SpoolWriter
from driftline.database.engine import using_database
from driftline.database.migrations import migrate
from driftline.errors import InputError
from driftline.settings.settings import Settings
from tests.capture.conftest import SIGNATURE, record
from tests.servers.settings import settings_in
from tests.sinking import sink_all


def tell(_done: int, _total: int | None) -> None:
    """Show nothing."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with a database, a table, a model and a key."""
    found = settings_in(tmp_path / "house")
    with using_database(found.database_url) as engine:
        migrate(engine)
    writer = SpoolWriter(tmp_path / "captured")
    record(writer, b"1.5,3,UA\n", endpoint="loans")
    writer.close()
    sink_all(found.root, tmp_path / "captured", lambda _: SIGNATURE)
    model = Path(found.root, "models", "loans", "model.skops")
    model.parent.mkdir(parents=True)
    model.write_bytes(b"of a model")
    Path(found.root, "channels.key").write_bytes(b"of channels")
    return found


def contents(root: str) -> dict[str, bytes]:
    """Return all files but the database's, the audit's and the lock."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and not path.name.startswith(("driftline.db", ".commits", "spools"))
    }


def rows_of(settings: Settings) -> list[str]:
    with closing(sqlite3.connect(Path(settings.local_dir) / "driftline.db")) as connection:
        return list(connection.iterdump())


def test_what_was_backed_up_comes_back_as_it_was(settings: Settings, tmp_path: Path) -> None:
    made = back_up(settings, tmp_path / "copy", tell)
    other = settings_in(tmp_path / "other")

    found = restore(other, tmp_path / "copy", tell)

    assert found.moment == made.moment
    assert contents(other.root) == contents(settings.root)
    assert rows_of(other) == rows_of(settings)
    kept = [*(tmp_path / "copy").rglob("*"), *Path(other.root).rglob("*")]
    assert not [path for path in kept if path.is_file() and path.stat().st_mode & 0o077]


@pytest.mark.parametrize("harm", ["cut", "lost"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    settings: Settings, tmp_path: Path, harm: str
) -> None:
    back_up(settings, tmp_path / "copy", tell)
    other = settings_in(tmp_path / "other")
    file = next((tmp_path / "copy" / "root").rglob("model.skops"))
    if harm == "cut":
        os.truncate(file, file.stat().st_size - 1)
    else:
        file.unlink()

    with pytest.raises(InputError):
        restore(other, tmp_path / "copy", tell)

    assert [one.name for one in (tmp_path / "other").rglob("*")] == ["driftline.toml"]


@pytest.mark.parametrize("name", ["root/../../escaped", "{there}/escaped"])
def test_a_name_that_leads_out_of_its_folder_is_refused(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    back_up(settings, tmp_path / "copy", tell)
    file = tmp_path / "copy" / MANIFEST
    found = json.loads(file.read_text())
    found["files"][name.format(there=tmp_path)] = found["files"].pop("root/channels.key")
    file.write_text(json.dumps(found))

    with pytest.raises(InputError, match="manifest"):
        restore(settings_in(tmp_path / "other"), tmp_path / "copy", tell)

    assert not list(tmp_path.rglob("escaped"))


def test_links_and_folders_in_use_are_refused_before_anything_is_copied(
    settings: Settings, tmp_path: Path
) -> None:
    for folder in (tmp_path, Path(settings.root) / "copy"):
        with pytest.raises(InputError):
            back_up(settings, folder, tell)
    documents = next(Path(settings.root).rglob("model.skops")).parent
    documents.rename(tmp_path / "moved")
    documents.symlink_to(tmp_path / "not_mounted")

    with pytest.raises(InputError, match=str(documents)):
        back_up(settings, tmp_path / "copy", tell)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "text",
    [
        '[database]\nurl = "sqlite:///{folder}/apart.db"',
        '[database]\nurl = "postgresql://localhost/x"',
        '[storage]\nlocal_dir = "here"',
        '[storage]\nroot = "{root}"',
    ],
)
def test_nothing_is_restored_over_what_is_there_or_into_what_does_not_fit(
    settings: Settings, tmp_path: Path, text: str
) -> None:
    back_up(settings, tmp_path / "copy", tell)
    (tmp_path / "apart.db-wal").write_bytes(b"of another database")
    before = contents(settings.root)
    other = settings_in(tmp_path / "other", text.format(root=settings.root, folder=tmp_path))

    with pytest.raises(InputError):
        restore(other, tmp_path / "copy", tell)

    assert contents(settings.root) == before


def test_without_the_database_the_rest_is_copied(settings: Settings, tmp_path: Path) -> None:
    url = '[database]\nurl = "postgresql://localhost/x"\n'
    shared, other = settings_in(tmp_path / "house", url), settings_in(tmp_path / "other", url)
    for file in Path(settings.root).glob("driftline.db*"):
        file.unlink()

    made = back_up(shared, tmp_path / "copy", tell)
    restore(other, tmp_path / "copy", tell)

    assert not made.has_database
    assert contents(other.root) == contents(settings.root)
