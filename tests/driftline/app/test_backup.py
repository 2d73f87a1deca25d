"""A backup while sinks commit holds all tables as of one moment; damage is one sentence."""

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import pytest
from deltalake import DeltaTable

from driftline.app.backup import MANIFEST, back_up, restore
from driftline.capture.audit.audit import audit
from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.database.engine import using_database
from driftline.database.migrations import migrate
from driftline.errors import InputError
from driftline.settings.settings import Settings, load
from tests.capture.conftest import SIGNATURE, record


def tell(_done: int, _total: int | None) -> None:
    """Show nothing."""


def settings_in(folder: Path, text: str = "") -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driftline.toml").write_text(text)
    return load(folder / "driftline.toml", environment={})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installation with tables, documents, a model and a key."""
    folder = tmp_path_factory.mktemp("made")
    found = settings_in(folder / "house")
    with using_database(found.database_url) as engine:
        migrate(engine)
    writer = SpoolWriter(folder / "captured")
    for _ in range(2):
        record(writer, b"1.5,3,UA\n", endpoint="loans")
    writer.close()
    Sink(found.root, LocalTransport(folder / "captured"), lambda _: SIGNATURE).step()
    model = Path(found.root, "models", "loans", "model.skops")
    model.parent.mkdir(parents=True)
    model.write_bytes(b"of a model")
    Path(found.root, "channels.key").write_bytes(b"of channels")
    return folder / "house"


@pytest.fixture
def settings(house: Path, tmp_path: Path) -> Settings:
    """That installation, copied for each test."""
    shutil.copytree(house, tmp_path / "house")
    return settings_in(tmp_path / "house")


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


def test_tables_that_are_written_are_copied_between_two_rounds(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "house")
    with using_database(settings.database_url) as engine:
        migrate(engine)
    stop = threading.Event()

    def send() -> None:
        writer, at = SpoolWriter(settings.spool_dir), datetime(2026, 1, 14, tzinfo=UTC)
        for endpoint in cycle("abc"):
            record(writer, b"1.5,3,UA\n", endpoint=endpoint, at=at)
            if stop.wait(0.001):
                break
        writer.close()

    transport = LocalTransport(settings.spool_dir)
    sink = Sink(settings.root, transport, lambda _: SIGNATURE, commit_interval_s=0.01)
    with ThreadPoolExecutor() as threads:
        running = [threads.submit(send), threads.submit(sink.run, stop)]
        try:
            end_s = time.monotonic() + 60
            while not sink.counters["rows"]:
                assert time.monotonic() < end_s
                stop.wait(0.01)
            copies = [tmp_path / f"copy{number}" for number in range(3)]
            for copy in copies:
                back_up(settings, copy, tell)
        finally:
            stop.set()
        for one in running:
            one.result()

    audits = [audit(str(copy / "root"), now=lambda: datetime.now(UTC)) for copy in copies]
    assert {(one.adds_up, one.in_flight) for one in audits} == {(True, 0)}
    stored = [_rows(copy) for copy in copies]
    assert stored == sorted(stored)
    assert 0 < stored[-1] <= sink.counters["rows"]


def _rows(copy: Path) -> int:
    tables = (copy / "root" / "capture").glob("*")
    return sum(DeltaTable(str(table)).to_pyarrow_table().num_rows for table in tables)


def _cut(copy: Path) -> None:
    file = next((copy / "root").rglob("model.skops"))
    os.truncate(file, file.stat().st_size - 1)


def _lose(copy: Path) -> None:
    next((copy / "root").rglob("*.parquet")).unlink()


def _break_off(copy: Path) -> None:
    (copy / MANIFEST).unlink()


@pytest.mark.parametrize("harm", [_cut, _lose, _break_off])
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    settings: Settings, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    back_up(settings, tmp_path / "copy", tell)
    other = settings_in(tmp_path / "other")
    harm(tmp_path / "copy")

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


def test_a_link_to_a_folder_is_refused_before_anything_is_copied(
    settings: Settings, tmp_path: Path
) -> None:
    documents = next(Path(settings.root).rglob("model.skops")).parent
    documents.rename(tmp_path / "moved")
    documents.symlink_to(tmp_path / "not_mounted")

    with pytest.raises(InputError, match=str(documents)):
        back_up(settings, tmp_path / "copy", tell)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "text",
    [
        '[database]\nurl = "sqlite:///{root}/driftline.db"',
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


def test_a_backup_needs_a_folder_of_its_own(settings: Settings, tmp_path: Path) -> None:
    for folder in (tmp_path, Path(settings.root) / "copy"):
        with pytest.raises(InputError):
            back_up(settings, folder, tell)


def test_without_the_database_the_rest_is_copied(settings: Settings, tmp_path: Path) -> None:
    url = '[database]\nurl = "postgresql://localhost/x"\n'
    shared, other = settings_in(tmp_path / "house", url), settings_in(tmp_path / "other", url)
    for file in Path(settings.root).glob("driftline.db*"):
        file.unlink()

    made = back_up(shared, tmp_path / "copy", tell)
    restore(other, tmp_path / "copy", tell)

    assert not made.has_database
    assert contents(other.root) == contents(settings.root)
