"""The profile of a data set: one summary per column, exact counts on given cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from driftline.baseline.cells import Cells
from driftline.baseline.column import ColumnProfile
from driftline.baseline.display import columns_line, profile_html
from driftline.baseline.folder import from_parquet, to_parquet
from driftline.baseline.records import from_table, to_table
from driftline.baseline.value_runs import TimeOrder
from driftline.errors import InputError
from driftline.signature import Signature

PROFILE_FORMAT = 12
KEY = b"driftline.profile"


@dataclass(slots=True)
class Profile:
    """What is kept of a data set's rows, column by column.

    Parameters
    ----------
    row_count
        Rows seen.
    columns
        By the user's name, in the signature's order; every column of the signature is here.
    seen
        Columns of the signature that came in at least one batch.
    extra
        Columns that came and that the signature does not know, in order of appearance.
    """

    row_count: int
    columns: dict[str, ColumnProfile]
    seen: set[str] = field(default_factory=set)
    extra: tuple[str, ...] = ()

    @classmethod
    def empty(cls, signature: Signature, cells: Mapping[str, Cells] | None = None) -> Profile:
        """Start a profile without rows; columns that have `cells` are counted on them."""
        given = cells or {}
        return cls(
            row_count=0,
            columns={
                column.name: ColumnProfile(column.name, column.type, cells=given.get(column.name))
                for column in signature.columns
            },
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns of the signature that never came; none are missing before the first batch."""
        if not self.row_count and not self.seen:
            return ()
        return tuple(name for name in self.columns if name not in self.seen)

    def update(
        self,
        batch: pa.RecordBatch | pa.Table,
        unfit: Mapping[str, int] | None = None,
        order: TimeOrder | None = None,
    ) -> None:
        """Add rows; without their order in time runs are unknown."""
        known, present = unfit or {}, set(batch.schema.names)
        for name, column in self.columns.items():
            if name in present:
                self.seen.add(name)
                column.update(batch.column(name), known.get(name, 0), order)
            else:
                column.update(pa.nulls(batch.num_rows))
        self.extra = _appended(self.extra, batch.schema, set(self.columns))
        fields = (name for name in known if name not in present and name not in self.columns)
        self.extra = tuple(dict.fromkeys((*self.extra, *fields)))
        self.row_count += batch.num_rows

    @classmethod
    def merged(cls, profiles: Iterable[Profile]) -> Profile:
        """Return one profile of the rows of all, such as of a day's hours.

        Counts are exactly those of one profile of all rows, whatever the parts and their order;
        quantiles are so within the sketch's error.
        """
        found = list(profiles)
        if not found:
            raise InputError("no profiles to merge; expected at least one")
        while len(found) > 1:  # In pairs: each sketch is merged a few times only.
            pairs = [found[at : at + 2] for at in range(0, len(found), 2)]
            found = [pair[0].merge(pair[-1]) if len(pair) > 1 else pair[0] for pair in pairs]
        return found[0]

    def merge(self, other: Profile) -> Profile:
        """Return the profile of the rows of both; neither input changes."""
        if self.columns.keys() != other.columns.keys():
            one = sorted(self.columns.keys() ^ other.columns.keys())[0]
            raise InputError(
                f'column "{one}" is in one of the profiles only; '
                "expected two profiles of the same columns"
            )
        extra = tuple(dict.fromkeys((*self.extra, *other.extra)))
        return Profile(
            row_count=self.row_count + other.row_count,
            columns={
                name: column.merge(other.columns[name]) for name, column in self.columns.items()
            },
            seen=self.seen | other.seen,
            extra=extra,
        )

    def to_bytes(self) -> bytes:
        """Write the profile as a Parquet file; the same profile gives the same bytes.

        The bytes name their format and carry a digest: `from_bytes` refuses other formats and
        damaged bytes.
        """
        notes = {
            "format": PROFILE_FORMAT,
            "row_count": self.row_count,
            "seen": sorted(self.seen),
            "extra": self.extra,
        }
        table = to_table(self.columns.values())
        return to_parquet(table.replace_schema_metadata({KEY: json.dumps(notes)}))

    @classmethod
    def from_bytes(cls, data: bytes) -> Profile:
        """Read what to_bytes wrote."""
        table = from_parquet(data)
        try:
            notes = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
            if notes.get("format") != PROFILE_FORMAT:
                raise InputError(
                    f"profile format {notes.get('format')!r}; this driftline reads "
                    f"{PROFILE_FORMAT}: make the baseline again"
                )
            columns = {one.name: one for one in from_table(ColumnProfile, table)}
            return cls(notes["row_count"], columns, {*notes["seen"]}, tuple(notes["extra"]))
        except (AttributeError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            told = str(error).partition("\n")[0]
            raise InputError(f"the profile is damaged ({told}); make the baseline again") from error

    def __repr__(self) -> str:
        """Return one line: how many rows, and the first columns."""
        return columns_line("Profile", f"rows: {self.row_count:,}", self.columns)

    def _repr_html_(self) -> str:
        """Show the columns in a notebook."""
        return profile_html("Profile", self)


def _appended(extra: tuple[str, ...], schema: pa.Schema, known: set[str]) -> tuple[str, ...]:
    new = (
        column.name
        for column in schema
        if column.name not in known and not pa.types.is_map(column.type)
    )
    return tuple(dict.fromkeys((*extra, *new)))  # In order, each once, in time linear in them.
