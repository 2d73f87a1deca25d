"""Ids of metrics: found by key, many at once; new ones are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Connection, select

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.tables import metrics as metric_table
from driftline.database.dialects import upsert

# SQLite takes at most 999 variables a statement in its older builds.
KEYS_PER_QUERY: Final = 500

T = TypeVar("T")


def chunks(found: Sequence[T], size: int = KEYS_PER_QUERY) -> Iterator[list[T]]:
    """Return a sequence in parts of at most ``size``."""
    rest = iter(found)
    while part := list(islice(rest, size)):
        yield part


def known_ids(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    """Find the ids of metrics by key; those that nothing was put for are absent."""
    found: dict[str, int] = {}
    table = metric_table.c
    for some in chunks(keys):
        query = select(table.key, table.id).where(table.key.in_(some))
        found.update((key, metric_id) for key, metric_id in connection.execute(query))
    return found


def ids_of(connection: Connection, wanted: Mapping[str, Datapoint]) -> dict[str, int]:
    """Find the ids of metrics by key; metrics that are new are stored first."""
    ids = known_ids(connection, list(wanted))
    missing = [
        {
            "key": key,
            "namespace": point.namespace,
            "name": point.name,
            "dimensions": dict(sorted(point.dimensions.items())),
            "revision": 0,
        }
        for key, point in wanted.items()
        if key not in ids
    ]
    if missing:
        # Another process may put the first datapoint of the same metric at the same moment.
        new = upsert(connection, metric_table).on_conflict_do_nothing(index_elements=["key"])
        # In one order, or two that insert the same ones would wait for each other.
        connection.execute(new, sorted(missing, key=lambda row: str(row["key"])))
        ids |= known_ids(connection, [str(row["key"]) for row in missing])
    return ids
