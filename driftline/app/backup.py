"""Backs up what this machine holds of an installation while it runs, and restores it.

The order leaves nothing dangling: the database before the documents that its rows name, for those
are written first; the audits' notes before the tables that they counted; all tables as they were
between two rounds of commits. The manifest comes last: a copy without it is incomplete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from driftline import __version__
from driftline.capture.audit.spools import FOLDER as AUDIT
from driftline.capture.spool.folder import replace_file, sync_path
from driftline.capture.tables.commit_lock import LOCK_NAME, between_commits
from driftline.capture.tables.log_files import list_tables
from driftline.database.engine import sqlite_file, sqlite_files
from driftline.errors import InputError, UnavailableError
from driftline.serving.hosting.multi_model.file_cache import COPIES
from driftline.settings.settings import Settings
from driftline.storage import is_remote

MANIFEST = "manifest.json"
DATABASE = "driftline.db"
BACKUP_FORMAT = 2

Tell = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds: folders of the settings, and bytes and SHA-256 of each file."""

    moment: str
    driftline: str
    folders: tuple[str, ...]
    files: dict[str, tuple[int, str]]
    format: int = BACKUP_FORMAT

    @property
    def has_database(self) -> bool:
        """Whether the database is in it."""
        return DATABASE in self.files

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(size for size, _ in self.files.values())


def back_up(settings: Settings, target: Path, tell: Tell) -> Manifest:
    """Copy database, tables, documents, models and keys of this machine into a new folder."""
    places = _places(settings)
    _require_empty(target)
    for folder in places.values():
        if target.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{target} lies in {folder}, which is copied; name another folder")
        list(_others(folder, settings))  # A link is refused before anything is made.
    if not any(folder.is_dir() for folder in places.values()):
        raise InputError(f"{settings.local_dir}: nothing is there yet to back up")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    files: dict[str, tuple[int, str]] = {}

    def add(source: Path, name: str, copy: Callable[[Path, Path], None] = _copy_file) -> None:
        if name not in files:  # What was copied before stays as it is.
            copy(source, target / name)
            files[name] = _digest_of(target / name)
            tell(len(files), None)

    if file := sqlite_file(settings.database_url):
        add(file, DATABASE, _copy_database)
    moment = datetime.now(UTC)
    if "root" in places:
        moment = _copy_tables(places["root"], add)
    for place, folder in places.items():
        for source in _others(folder, settings):
            with suppress(FileNotFoundError):  # Deleted meanwhile.
                add(source, f"{place}/{source.relative_to(folder)}")
    made = Manifest(moment.isoformat(), __version__, tuple(places), dict(sorted(files.items())))
    for folder in {(target / name).parent for name in files}:
        sync_path(folder)
    replace_file(target / MANIFEST, json.dumps(asdict(made)).encode(), is_synced=True)
    return made


def restore(settings: Settings, source: Path, tell: Tell) -> Manifest:
    """Restore a backup to where the settings say, each file as it was."""
    found = _read_manifest(source)
    places, file = _places(settings), sqlite_file(settings.database_url)
    if found.has_database != (file is not None) or set(found.folders) != set(places):
        database = "a SQLite database" if found.has_database else "no database"
        raise InputError(
            f"{source} holds {database} and {', '.join(found.folders)}, which does not fit the "
            "settings; correct [storage] root and local_dir and [database] url"
        )
    # SQLite would play a log that was left there into the database.
    for there in (*places.values(), *sqlite_files(settings.database_url)):
        _require_empty(there)
    # All is compared before anything is written.
    targets: dict[str, Path] = {}
    for name, expected in found.files.items():
        place, _, rest = name.partition("/")
        targets[name] = file if name == DATABASE and file else places[place] / rest
        if not (source / name).is_file() or _digest_of(source / name) != tuple(expected):
            raise InputError(f"{source / name} is missing or damaged: it is not what was backed up")
    # The database goes last: an installation without one is none.
    for number, name in enumerate(sorted(targets, key=lambda name: name == DATABASE), 1):
        _copy_file(source / name, targets[name])
        sync_path(targets[name].parent)
        tell(number, len(targets))
    return found


def _read_manifest(source: Path) -> Manifest:
    try:
        found = Manifest(**json.loads((source / MANIFEST).read_bytes()))
        # Each file is the database or lies in a folder of the backup, whatever its name says.
        inside = tuple(f"{folder}/" for folder in found.folders)
        is_ours = found.format == BACKUP_FORMAT and all(
            name == DATABASE or (name.startswith(inside) and os.path.normpath(name) == name)
            for name in found.files
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{source} is no whole backup: it has no {MANIFEST}, which is written last"
        ) from error
    except (ValueError, TypeError, AttributeError):
        is_ours = False
    if not is_ours:
        raise InputError(f"{source / MANIFEST} is damaged, or of another version of driftline")
    return found


def _copy_file(source: Path, to: Path) -> None:
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The source first: where it is gone, nothing is made.
    with source.open("rb") as reading:
        to.touch(mode=0o600, exist_ok=False)
        with to.open("wb") as writing:
            shutil.copyfileobj(reading, writing)
    sync_path(to)


def _digest_of(file: Path) -> tuple[int, str]:
    with file.open("rb") as reading:
        return file.stat().st_size, hashlib.file_digest(reading, "sha256").hexdigest()


def _places(settings: Settings) -> dict[str, Path]:
    places = {} if is_remote(settings.root) else {"root": Path(settings.root)}
    if settings.local_dir not in places.values():
        places["local_dir"] = settings.local_dir
    return places


def _require_empty(there: Path) -> None:
    if os.path.lexists(there) and (not there.is_dir() or any(there.iterdir())):
        raise InputError(f"{there} is there already; move it away, or name another")


def _copy_database(file: Path, to: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file}: not there yet; run: driftline migrate")
    to.touch(mode=0o600, exist_ok=False)
    try:
        with (
            closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(to)) as copy,
        ):
            source.backup(copy)
            # One file, whole in itself: whoever opens it makes the log again.
            copy.execute("PRAGMA journal_mode = DELETE")
            (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise UnavailableError(f"database {file}: {error}") from error
    if said != "ok":
        raise UnavailableError(f"database {file} is damaged: {said}")


def _copy_tables(root: Path, add: Callable[[Path, str], None]) -> datetime:
    """Copy all tables as of one moment; files that a commit replaces stay for a day."""
    files = sorted((root / AUDIT).glob("*"))
    try:
        for file in files:
            add(file, f"root/{file.relative_to(root)}")
        with between_commits(str(root)):
            moment = datetime.now(UTC)
            # The hint of the newest checkpoint may come to name one that is not copied.
            files = [
                file
                for table in list_tables(str(root))
                for file in Path(table).rglob("*")
                if file.is_file() and file.name != "_last_checkpoint"
            ]
        for file in files:
            add(file, f"root/{file.relative_to(root)}")
    except FileNotFoundError as error:
        raise UnavailableError(f"{error.filename} was removed meanwhile; back up again") from error
    return moment


def _others(folder: Path, settings: Settings) -> Iterator[Path]:
    """Return the files that are neither of tables nor of the database, the spool or a lock."""
    left_out = {settings.spool_dir, folder / LOCK_NAME, folder / AUDIT, folder / COPIES}
    left_out |= {Path(table) for table in list_tables(str(folder))}
    left_out |= set(_places(settings).values()) - {folder}
    left_out |= {*sqlite_files(settings.database_url)}
    for where, folders, names in os.walk(folder):
        paths = {path for name in (*folders, *names) if (path := Path(where, name)) not in left_out}
        for path in sorted(paths):
            if path.is_symlink() and not path.is_file() and path.resolve() not in left_out:
                raise InputError(
                    f"{path} is a link to what the backup would not hold; put the folder itself "
                    "there, or mount it there"
                )
            if path.name in names and path.suffix != ".new":  # That is being written.
                yield path
        folders[:] = [name for name in folders if Path(where, name) in paths]
