"""A Delta table that takes rows together with watermarks, exactly once.

Files are written whole under a hidden name, synced and renamed, then registered by one commit that
also carries the watermarks. Their names begin with the writer's, so that after a kill a writer
finds and removes its uncommitted files, and a plain Parquet glob is exact again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Self
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Field, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import Schema
from deltalake.transaction import AddAction, RemoveAction

from driftline.capture.spool.folder import make_folder
from driftline.capture.tables import log_files
from driftline.capture.tables.part_file import PartFile
from driftline.capture.tables.storage import DamagedError, open_storage, reaching, trouble
from driftline.errors import ConflictError
from driftline.storage import delta_options

# The version of a table that is not there yet: one before its first.
NO_TABLE = -1
# So many tables each thread keeps open for reading.
_KEPT_TABLES = 8
# A commit that others came before, without touching its spools, is tried again so often.
_ATTEMPTS = 5
# Entries of the log that a checkpoint covers are kept this long: of who looks for news more rarely,
# all rows count as new. With a commit each ten seconds it is some 9,000 of them.
_LOG_RETENTION = "delta.logRetentionDuration"
_LOG_KEPT = "interval 24 hours"
# Watermarks whose names begin so are of files that are read once. The table forgets them some time
# after the moment that they say, in milliseconds of UTC; the others never.
FILE = "file/"
FILES_KEPT = timedelta(days=400)
_MARK_RETENTION = "delta.setTransactionRetentionDuration"

_Entry = tuple[int | None, int | None] | bytes


class _Kept(threading.local):
    """The tables that this thread read last, by address: updated incrementally.

    A table's log holds up to a hundred entries that would be read anew each time.
    """

    def __init__(self) -> None:
        self.tables: dict[str, tuple[DeltaTable, _Entry]] = {}


_kept = _Kept()


class WatermarkMovedError(ConflictError):
    """Another commit holds these records already, or came in between; read the watermarks again."""


class DeltaFolder:
    """One Delta table at ``<root>/<name>``, opened when it is first needed.

    ``partition``: text column that parts the rows into folders; None for no parts; ``writer``:
    beginning of the names of the files that this one writes; ``repeated``: text columns whose
    values repeat, worth a dictionary; ``order``: columns by which rows that are put together are
    sorted, the first one a time.
    """

    def __init__(
        self,
        root: str,
        name: str,
        *,
        partition: str | None,
        writer: str,
        repeated: Sequence[str],
        order: Sequence[str] = (),
    ) -> None:
        self.filesystem, path = open_storage(root)
        self.path = f"{path}/{name}"
        self._is_local = isinstance(self.filesystem, pafs.LocalFileSystem)
        self.uri = self.path if self._is_local else f"{root.rstrip('/')}/{name}"
        self._options = delta_options(root)
        self.partition = partition
        self.order = tuple(order)
        self._writer = writer
        self._repeated = list(repeated)
        self._table: DeltaTable | None = None

    @property
    def table(self) -> DeltaTable | None:
        """The table as it was when last looked at; None while there is none."""
        if self._table is None:
            try:
                self._table = self._opened()
            except TableNotFoundError:
                return None
            except (DeltaError, OSError) as error:
                if self._is_local and (damaged := log_files.damaged_entries(self.path)):
                    raise self._damaged(damaged) from error
                raise trouble(self.uri, error) from error
        return self._table

    def _opened(self) -> DeltaTable:
        table = DeltaTable(self.uri, storage_options=self._options)
        # An entry without any bytes would be read as a commit of nothing.
        if self._is_local and (damaged := log_files.damaged_entries(self.path, table.version())):
            raise self._damaged(damaged)
        return table

    def _damaged(self, names: Sequence[str]) -> DamagedError:
        return DamagedError(
            f'table "{self.uri}": entries of its log are empty or cut off ({", ".join(names)}); '
            "start what writes to it, which replaces them: driftline up"
        )

    def refresh(self) -> None:
        """Load the newest version of the table at the next use."""
        self._table = None

    def catch_up(self) -> Self:
        """Load the newest version now, incrementally where this thread has read the table before.

        A writer that goes on from watermarks it has read rather takes ``refresh`` once, and keeps a
        state that nothing else of its thread moves.
        """
        self._table, entry = _kept.tables.pop(self.uri, (None, None))
        try:
            # Of a table that was made anew, or whose log was cut, that entry is another, or gone.
            if self._table is not None and self._entry(self._table) == entry:
                self._table.update_incremental()
            else:
                self._table = None
        except (DeltaError, OSError):
            self._table = None
        if self.table is not None:
            self._keep(self.table)
        return self

    def newest_version(self) -> int:
        """Load the newest version, and return its number; ``NO_TABLE`` while there is none."""
        self.catch_up()
        return NO_TABLE if self.table is None else int(self.table.version())

    def schema(self) -> pa.Schema | None:
        """Return the Arrow schema of the table; None while there is none."""
        return None if self.table is None else pa.schema(self.table.schema().to_arrow())

    def open(self, first: str | None = None, last: str | None = None) -> pads.Dataset | None:
        """Open the newest state for reading, or only the parts from ``first`` to ``last``."""
        return self.catch_up().read(first, last)

    def read(self, first: str | None = None, last: str | None = None) -> pads.Dataset | None:
        """Open the state as last looked at, or only the parts from ``first`` to ``last``."""
        if self.table is None:
            return None
        inside = [
            (str(self.partition), sign, value)
            for sign, value in ((">=", first), ("<=", last))
            if value is not None
        ]
        return self.table.to_pyarrow_dataset(
            filesystem=pafs.SubTreeFileSystem(self.path, self.filesystem),
            file_pruning_predicate=inside or None,
        )

    def rows(self, schema: pa.Schema) -> pa.Table:
        """Return these columns of all rows of the state as last looked at, in no order."""
        data = self.read()
        return schema.empty_table() if data is None else data.to_table(schema.names).cast(schema)

    def watermark(self, spool_id: str) -> int:
        """Return the last sequence number of a spool in the table as last looked at; 0 for none."""
        if self.table is None:
            return 0
        with reaching(self.uri):  # The log is read for it.
            return self.table.transaction_version(f"s/{spool_id}") or 0

    def append(
        self,
        rows: pa.Table,
        watermarks: Mapping[str, int],
        offsets: Mapping[str, int] | None = None,
        *,
        after: Mapping[str, int] | None = None,
        is_last: bool = False,
    ) -> int:
        """Commit rows and watermarks in one step; return the number of rows.

        ``offsets``: how far the rows reach in each partition of a broker, kept as ``k/<partition>``
        for information only; the watermarks of the spools count. ``after``: where spools have to
        stand, for a writer that goes on where it left off unless another one came in between;
        ``is_last``: close the state, which takes some MiB for a log of a hundred entries.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            table = self._ready(rows.schema)
            seen = {spool: self.watermark(spool) for spool in watermarks}
            for spool, seq in watermarks.items():
                if seen[spool] >= seq:
                    raise WatermarkMovedError(
                        f'table "{self.uri}": spool {spool} stands past {seq} already'
                    )
            if after is not None and seen != after:
                raise WatermarkMovedError(f'table "{self.uri}": {seen} stand, not {after}')
            try:
                self._commit(table, rows, watermarks, offsets or {}, is_last=is_last)
            except CommitFailedError as error:
                # Another writer came first. If it moved none of these watermarks (it made the table
                # at the same moment, or widened it), the rows are as new as before.
                self.refresh()
                is_same = {spool: self.watermark(spool) for spool in watermarks} == seen
                if not is_same or attempt == _ATTEMPTS:
                    raise WatermarkMovedError(f'table "{self.uri}": {error}') from error
            else:
                break
        return int(rows.num_rows)

    def _commit(
        self,
        table: DeltaTable,
        rows: pa.Table,
        watermarks: Mapping[str, int],
        offsets: Mapping[str, int],
        *,
        is_last: bool,
    ) -> None:
        """Write the files, then commit them with the watermarks; refused, it leaves no file."""
        written: list[AddAction | RemoveAction] = []
        try:
            written += [self._write(part, value) for value, part in self._parts(rows)]
            marks = {
                **{f"s/{spool}": seq for spool, seq in watermarks.items()},
                **{f"k/{part}": at for part, at in offsets.items()},
            }
            self.commit(table, written, marks, is_last=is_last)
            if not is_last and _kept.tables.get(self.uri, (None,))[0] is table:
                self._keep(table)
        except CommitFailedError:
            if not self.commit_took_place(written):
                raise
        except (DeltaError, OSError) as error:
            # Whether the commit took place is open: keep the files; the watermarks tell next time.
            self.refresh()
            raise trouble(self.uri, error) from error

    def commit(
        self,
        table: DeltaTable,
        actions: Sequence[AddAction | RemoveAction],
        watermarks: Mapping[str, int],
        metadata: Mapping[str, str] | None = None,
        *,
        is_last: bool = False,
    ) -> None:
        """Add an entry to the log of a state of the table; in a local folder it is synced.

        ``watermarks``: under their names in the log; ``metadata``: the entry's own; ``is_last``:
        close the state in place of loading the new one.
        """
        before = table.version()
        table.create_write_transaction(
            list(actions),
            mode="append",
            schema=table.schema(),
            partition_by=[self.partition] if self.partition else None,
            commit_properties=CommitProperties(
                custom_metadata=dict(metadata or {}),
                app_transactions=[
                    Transaction(name, at, at if name.startswith(f"s/{FILE}") else None)
                    for name, at in watermarks.items()
                ],
            ),
            post_commithook_properties=self._hooks,
        )
        if is_last:
            self.refresh()
        else:
            table.update_incremental()
        self._sync(before)

    @property
    def _hooks(self) -> PostCommitHookProperties:
        # In a local folder entries go only when the checkpoint that covers them is on the disk.
        return PostCommitHookProperties(cleanup_expired_logs=False if self._is_local else None)

    def _sync(self, before: int) -> None:
        """Sync what was committed since a version."""
        if self._is_local and log_files.sync_entries(self.path, before + 1) and self.table:
            self.table.cleanup_metadata()

    def secure(self) -> None:
        """Repair the log of a local folder after a loss of power, and sync all of it.

        For writers that go on from its watermarks: a process may have been killed before it synced
        them.
        """
        self.refresh()
        if self._is_local:
            with reaching(self.uri):
                log_files.secure(self.path)

    def commit_took_place(self, written: Sequence[AddAction | RemoveAction]) -> bool:
        """Whether a refused commit is in the log after all; if not, remove its files.

        A bucket may take an entry and answer with an error. The library then puts it again, and is
        refused by its own entry.
        """
        self.refresh()
        names = {action.path for action in written}
        if names & self._held():
            self.secure()
            return True
        for name in names:
            with suppress(FileNotFoundError):
                self.filesystem.delete_file(f"{self.path}/{name}")
        return False

    def sweep(self) -> int:
        """Remove this writer's files that no commit ever knew; return how many there were."""
        self.secure()
        table = self.table
        if table is None:
            return 0
        # Those that were replaced stay for who reads an older state; ``vacuum`` deletes them.
        committed = self._held() | self.replaced()
        removed = 0
        for name, entry in self.stored_files().items():
            if entry.base_name.lstrip(".").startswith(f"{self._writer}-") and name not in committed:
                with reaching(self.uri):
                    self.filesystem.delete_file(entry.path)
                removed += 1
        return removed

    def stored_files(self) -> dict[str, pafs.FileInfo]:
        """Return all files in the table's folder, the log's included, by path below it."""
        with reaching(self.uri):
            entries = self.filesystem.get_file_info(pafs.FileSelector(self.path, recursive=True))
        return {entry.path[len(self.path) + 1 :]: entry for entry in entries if entry.is_file}

    def read_files(self, files: Iterable[str], schema: pa.Schema) -> pads.Dataset:
        """Open some of the table's files, by path below its folder."""
        filesystem = pafs.SubTreeFileSystem(self.path, self.filesystem)
        return pads.dataset(list(files), schema=schema, format="parquet", filesystem=filesystem)

    def replaced(self, older_h: int = 0) -> set[str]:
        """Return the files that left the table that many hours ago; some may be deleted."""
        if self.table is None:
            return set()
        with reaching(self.uri):
            named = self.table.vacuum(older_h, dry_run=True, enforce_retention_duration=False)
        return {unquote(name).removeprefix(f"{self.path}/") for name in named}

    def _held(self) -> set[str]:
        """Return the files of the open version."""
        if self.table is None:
            return set()
        return {
            unquote(path) for path in pa.table(self.table.get_add_actions())["path"].to_pylist()
        }

    def size_bytes(self) -> int:
        """Return the bytes of the table's files as last loaded."""
        if self.table is None:
            return 0
        return pc.sum(pa.table(self.table.get_add_actions())["size_bytes"]).as_py() or 0

    def _keep(self, table: DeltaTable) -> None:
        """Cache an open table for this thread."""
        _kept.tables.pop(self.uri, None)
        _kept.tables[self.uri] = table, self._entry(table)
        while len(_kept.tables) > _KEPT_TABLES:
            del _kept.tables[next(iter(_kept.tables))]

    def _entry(self, table: DeltaTable) -> _Entry:
        """Return the identity of the open version's log entry: size and modification time.

        Buckets know times to the second only: for these, the entry's own bytes.
        """
        path = f"{self.path}/_delta_log/{table.version():020d}.json"
        with reaching(self.uri):
            if not self._is_local:
                with self.filesystem.open_input_stream(path) as stream:
                    return hashlib.blake2b(stream.readall(), digest_size=16).digest()
            info = self.filesystem.get_file_info(path)
            return info.size, info.mtime_ns

    def widen(self, schema: pa.Schema) -> None:
        """Add the missing columns of a schema to the table, and load its newest version."""
        self.refresh()
        self._ready(schema)

    def _ready(self, schema: pa.Schema, attempts: int = _ATTEMPTS) -> DeltaTable:
        """Return the table, made or widened so that it holds these columns."""
        table = self.table
        try:
            if table is None:
                table = self._table = self._made(schema)
            names = set(pa.schema(table.schema().to_arrow()).names)
            if missing := [field for field in schema if field.name not in names]:
                fields: list[Field] = list(Schema.from_arrow(pa.schema(missing)).fields)
                before = table.version()
                table.alter.add_columns(fields, post_commithook_properties=self._hooks)
                table.update_incremental()
                self._sync(before)
        except (DeltaError, OSError) as error:
            self.refresh()
            if isinstance(error, CommitFailedError) and attempts > 1:
                # Another writer widened it at the same moment, perhaps by the same columns.
                return self._ready(schema, attempts - 1)
            raise trouble(self.uri, error) from error
        return table

    def _made(self, schema: pa.Schema) -> DeltaTable:
        """Create the table, or open the one that another writer created meanwhile."""
        if self._is_local:
            make_folder(Path(self.path))
        parts = [self.partition] if self.partition else None
        try:
            table = DeltaTable.create(
                self.uri,
                schema,
                mode="ignore",
                partition_by=parts,
                configuration={
                    _LOG_RETENTION: _LOG_KEPT,
                    _MARK_RETENTION: f"interval {FILES_KEPT.days} days",
                },
                storage_options=self._options,
            )
        except CommitFailedError:
            table = self._opened()
        if self._is_local:
            log_files.secure(self.path)
        return table

    def _parts(self, rows: pa.Table) -> list[tuple[str | None, pa.Table]]:
        if rows.num_rows == 0:
            return []
        if self.partition is None:
            return [(None, rows)]
        values = rows[self.partition]
        different = sorted(pc.unique(values).to_pylist())
        if len(different) == 1:  # To filter is to copy.
            return [(different[0], rows)]
        return [(value, rows.filter(pc.equal(values, value))) for value in different]

    def new_file(self, part: str | None, schema: pa.Schema) -> PartFile:
        """Begin a file of a partition; the schema is without the partition's column."""
        return PartFile(
            self.filesystem,
            self.path,
            part=None if self.partition is None else (self.partition, str(part)),
            writer=self._writer,
            schema=schema,
            repeated=self._repeated,
        )

    def _write(self, rows: pa.Table, part: str | None) -> AddAction:
        content = rows if self.partition is None else rows.drop_columns([self.partition])
        with self.new_file(part, content.schema) as file:
            file.write(content)
            return file.finish()


def table_of(rows: Iterable[Sequence[object]], schema: pa.Schema) -> pa.Table:
    """Return rows, of which there is at least one, as a table of a schema."""
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
