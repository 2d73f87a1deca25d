"""A backup while sinks commit holds all tables as of one moment; damage is one sentence."""

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
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

ENDPOINTS = ("a", "b", "c")


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
        writer, number = SpoolWriter(settings.spool_dir), 0
        while not stop.wait(0.001):
            number += 1
            at = datetime(2026, 1, 14, tzinfo=UTC)
            record(writer, b"1.5,3,UA\n", endpoint=ENDPOINTS[number % len(ENDPOINTS)], at=at)
        writer.close()

    sink = Sink(
        settings.root,
        LocalTransport(settings.spool_dir),
        lambda _: SIGNATURE,
        commit_interval_s=0.01,
    )
    threads = [threading.Thread(target=send), threading.Thread(target=sink.run, args=(stop,))]
    for thread in threads:
        thread.start()
    try:
        end_s = time.monotonic() + 60
        while not sink.counters["rows"]:
            assert time.monotonic() < end_s
            stop.wait(0.01)
        copies = [tmp_path / f"copy{number}" for number in range(3)]
        found = [back_up(settings, copy, tell) for copy in copies]
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    audits = [audit(str(copy / "root"), now=lambda: datetime.now(UTC)) for copy in copies]
    assert {(one.adds_up, one.in_flight) for one in audits} == {(True, 0)}
    assert len({one.moment for one in found}) == 3
    stored = [_rows(copy) for copy in copies]
    assert stored == sorted(stored)
    assert 0 < stored[-1] <= sink.counters["rows"]


def _rows(copy: Path) -> int:
    tables = (copy / "root" / "capture").glob("*")
    return sum(DeltaTable(str(table)).to_pyarrow_table().num_rows for table in tables)


def test_a_table_whose_log_was_cleaned_is_copied_from_its_checkpoint(
    settings: Settings, tmp_path: Path
) -> None:
    source = Path(settings.root, "capture", "loans")
    table = DeltaTable(str(source))
    expected = table.to_pyarrow_table().num_rows
    table.create_checkpoint()
    table.alter.set_table_properties({"delta.minReaderVersion": "1"}, raise_if_not_exists=False)
    for entry in range(table.version()):
        (source / "_delta_log" / f"{entry:020d}.json").unlink(missing_ok=True)

    back_up(settings, tmp_path / "copy", tell)

    copied = DeltaTable(str(tmp_path / "copy" / "root" / "capture" / "loans"))
    assert copied.version() == DeltaTable(str(source)).version()
    assert copied.to_pyarrow_table().num_rows == expected > 0


def _cut(copy: Path) -> str:
    file = next((copy / "root").rglob("model.skops"))
    os.truncate(file, file.stat().st_size - 1)
    return "model.skops is damaged: it is not what was backed up"


def _lose(copy: Path) -> str:
    next((copy / "root").rglob("*.parquet")).unlink()
    return r"\.parquet is missing from the backup"


def _break_off(copy: Path) -> str:
    (copy / MANIFEST).unlink()
    return "is no whole backup: it has no manifest.json, which is written last"


@pytest.mark.parametrize("harm", [_cut, _lose, _break_off])
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    settings: Settings, tmp_path: Path, harm: Callable[[Path], str]
) -> None:
    back_up(settings, tmp_path / "copy", tell)
    other = settings_in(tmp_path / "other")
    expected = harm(tmp_path / "copy")

    with pytest.raises(InputError, match=expected):
        restore(other, tmp_path / "copy", tell)

    assert [path.name for path in (tmp_path / "other").rglob("*") if path.is_file()] == [
        "driftline.toml"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "root/../../escaped",
        "root/{there}/escaped",  # root//tmp/...: absolute behind its folder.
        "{there}/escaped",
        "root",
        "elsewhere/escaped",
    ],
)
def test_a_name_that_leads_out_of_its_folder_is_refused(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    back_up(settings, tmp_path / "copy", tell)
    other = settings_in(tmp_path / "other")
    name = name.format(there=tmp_path)
    file = tmp_path / "copy" / MANIFEST
    found = json.loads(file.read_text())
    found["files"][name] = found["files"].pop("root/channels.key")
    file.write_text(json.dumps(found))
    # What is named can be read: only the name is wrong.
    source = tmp_path / "copy" / name
    if not source.is_dir() and source.parent.is_dir():
        shutil.copy(Path(settings.root, "channels.key"), source)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        restore(other, tmp_path / "copy", tell)

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_to_a_folder_is_refused_before_anything_is_copied(
    settings: Settings, tmp_path: Path, is_there: bool
) -> None:
    documents = next(Path(settings.root).rglob("model.skops")).parent
    documents.rename(tmp_path / "moved")
    documents.symlink_to(tmp_path / ("moved" if is_there else "not_mounted"))

    with pytest.raises(InputError, match=f"{documents} is a link to what the backup would not"):
        back_up(settings, tmp_path / "copy", tell)
    assert not (tmp_path / "copy").exists()


def test_neither_way_writes_over_what_is_there(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "copy", tell)
    left = tmp_path / "apart.db-wal"
    left.write_bytes(b"of another database")

    def restored(text: str) -> None:
        restore(settings_in(tmp_path / "other", text), tmp_path / "copy", tell)

    with pytest.raises(InputError, match="copy is not empty; name a new folder"):
        back_up(settings, tmp_path / "copy", tell)
    with pytest.raises(InputError, match="is not empty; name a new folder"):
        restore(settings, tmp_path / "copy", tell)
    with pytest.raises(InputError, match=r"driftline\.db is there already"):
        restored(f'[database]\nurl = "sqlite:///{settings.local_dir}/driftline.db"')
    with pytest.raises(InputError, match=r"apart\.db-wal is there already"):
        restored(f'[database]\nurl = "sqlite:///{tmp_path}/apart.db"')
    with pytest.raises(InputError, match=r"does not fit \[database\] url"):
        restored('[database]\nurl = "postgresql://localhost/x"')
    with pytest.raises(InputError, match="holds root, and the settings have root, local_dir"):
        restored('[storage]\nlocal_dir = "here"')
    with pytest.raises(InputError, match=r"lies in .* which is copied"):
        back_up(settings, Path(settings.root) / "copy", tell)


def test_without_the_database_the_rest_is_copied(settings: Settings, tmp_path: Path) -> None:
    url = '[database]\nurl = "postgresql://localhost/x"\n'
    shared = settings_in(tmp_path / "house", url)
    for end in ("", "-wal", "-shm"):
        Path(settings.root, f"driftline.db{end}").unlink(missing_ok=True)

    made = back_up(shared, tmp_path / "copy", tell)
    other = settings_in(tmp_path / "other", url)
    restore(other, tmp_path / "copy", tell)

    assert not made.has_database
    assert contents(other.root) == contents(settings.root)
    assert audit(other.root, now=lambda: datetime.now(UTC)).adds_up
