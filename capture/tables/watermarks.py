"""All watermarks of a Delta table, read from its log, as the rows may be gone.

The library tells a watermark only to who knows the spool's name. Whoever audits must also find a
spool of which a watermark is left, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from driftline.capture.tables.cleaning import EXPIRED
from driftline.capture.tables.storage import StorageError
from driftline.capture.tables.table import DeltaFolder

# Up to which number a spool's records are in this table.
STORED = "s/"
# Up to which number a spool's records are in all tables that they belong to.
SETTLED = "d/"
_ATTEMPTS = 3


class Watermarks(NamedTuple):
    """The watermarks of a table at a version of it, by spool.

    ``stored`` and ``settled`` say up to which number, ``expired`` how many requests retention took.
    """

    stored: dict[str, int]
    settled: dict[str, int]
    expired: dict[str, int]


def read_watermarks(folder: DeltaFolder) -> Watermarks:
    """Read the watermarks that the state which is open holds."""
    table = folder.table
    if table is None:
        return Watermarks({}, {}, {})
    for attempt in range(_ATTEMPTS):
        try:
            transactions = dict(_transactions(folder, table.version()))
            break
        except FileNotFoundError as error:
            # A checkpoint has taken the place of entries just now.
            if attempt + 1 == _ATTEMPTS:
                raise StorageError(f'table "{folder.uri}": {error}') from error
        except (DeltaError, OSError, pa.ArrowInvalid, ValueError) as error:
            raise StorageError(f'table "{folder.uri}": {error}') from error
    return Watermarks(*(_under(transactions, prefix) for prefix in (STORED, SETTLED, EXPIRED)))


def _under(found: dict[str, int], prefix: str) -> dict[str, int]:
    return {name[len(prefix) :]: at for name, at in found.items() if name.startswith(prefix)}


def _transactions(folder: DeltaFolder, version: int) -> Iterator[tuple[str, int]]:
    """Yield every transaction up to a version: the checkpoint's first, then each entry's."""
    log = f"{folder.path}/_delta_log"
    first = 0
    if (checkpoint := _checkpoint(folder, version)) is not None:
        with folder.filesystem.open_input_file(f"{log}/{checkpoint:020d}.checkpoint.parquet") as at:
            column = pq.read_table(at, columns=["txn"])["txn"].drop_null()
        for transaction in column.to_pylist():
            yield transaction["appId"], transaction["version"]
        first = checkpoint + 1
    for number in range(first, version + 1):
        with folder.filesystem.open_input_stream(f"{log}/{number:020d}.json") as stream:
            lines = bytes(stream.read()).splitlines()
        for line in lines:
            if line.startswith(b'{"txn"'):
                entry = json.loads(line)["txn"]
                yield entry["appId"], entry["version"]


def _checkpoint(folder: DeltaFolder, version: int) -> int | None:
    """Find the newest checkpoint that is not newer than a version."""
    selector = pafs.FileSelector(f"{folder.path}/_delta_log")
    suffix = ".checkpoint.parquet"
    names = (entry.base_name for entry in folder.filesystem.get_file_info(selector))
    numbers = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return max(
        (int(number) for number in numbers if number.isdecimal() and int(number) <= version),
        default=None,
    )
