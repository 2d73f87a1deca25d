"""The shapes in which JSON carries the rows of a request: what model servers take.

SageMaker's (``instances``, ``features``), TensorFlow Serving's (``instances``; ``inputs`` by
column), MLflow's (``dataframe_split``, ``dataframe_records``, ``inputs``), the Open Inference
Protocol's tensors, and shapes of users' own apps: an object, a list, lists by name. The server,
captured traffic, and capture lines in files all read them here.

References
----------
SageMaker, common data formats for inference; TensorFlow Serving, g3doc/api_rest.md; MLflow,
pyfunc/scoring_server; pandas.DataFrame.to_dict, its orients.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeGuard, TypeVar, cast

from driftline.formats.body_limits import MAX_ROWS, BodyError, require_rows
from driftline.formats.cells import as_text
from driftline.formats.shapes.tensors import (
    TENSOR_FIELDS,
    is_tensors,
    read_tensors,
    tensor_columns,
)
from driftline.signature import Column, Signature

_MAX_EXTRAS = 64
_MAX_TOLD = 6
# Rows stand in one of these, beside parameters that are none of our business.
ENVELOPES = (
    "instances", "inputs", "features", "dataframe_records", "dataframe_split", "examples", "data",
)  # fmt: skip
UNREAD = (
    "rows by index, with a schema or under an unknown name; expected a row, a list of rows, "
    '{"instances": [rows]} or {"columns": [names], "data": [rows]} (pandas: orient="records" or '
    '"split")'
)
# Callers send the same few fields again and again; the bounds keep hostile ones from piling up.
_MAX_PLANS = 256
_MAX_KEY = 1 << 18
NESTED = frozenset({list, dict})

Extra = tuple[int, str, str]
Row = Sequence[object]
Key = TypeVar("Key")


class Plan(NamedTuple):
    """How the values of an object, in its order and with None at the end, become a row.

    ``others``: indices and names of fields that the signature does not know.
    """

    pick: Callable[[Sequence[object]], Row]
    others: tuple[tuple[int, str], ...] = ()


class RequestRows:
    """Finds the rows of requests: values in the order of the signature's inputs.

    Objects with the same fields in the same order are read by a plan that is made once; unusual
    ones step by step. Both give the same. A strict one refuses objects that lack an input, and
    lists beside objects.
    """

    def __init__(
        self, signature: Signature, *, is_strict: bool = False, max_rows: int = MAX_ROWS
    ) -> None:
        self.columns: tuple[Column, ...] = signature.inputs
        self._is_strict = is_strict
        self._max_rows = max_rows
        self.names = [column.name for column in self.columns]
        self.is_numeric = all(column.type == "double" for column in self.columns)
        # The id is no input, but told among the extras, so that it can be picked up from there.
        self._id_name = signature.inference_id
        self._known = {column.name for column in signature.columns} - {signature.inference_id}
        # Alone, one of several inputs makes no row: its name is that of an envelope.
        self._lone = self._known.difference(ENVELOPES if len(self.names) > 1 else ())
        self._plans: Plans[tuple[str, ...]] = Plans(self._plan)

    @classmethod
    def like(
        cls,
        document: object,
        *,
        is_strict: bool = False,
        max_rows: int = MAX_ROWS,
        by_position: bool = False,
        count: int | None = None,
    ) -> RequestRows:
        """Find rows like the first of a document: of its names, or as many values (``_c0`` …).

        ``by_position``: the name of a lone tensor is not a column's. ``count``: how many values a
        row without names has, where that is known.
        """
        names = _names_of(document, max_rows, count, by_position=by_position)
        try:
            "".join(names).encode()
        except UnicodeEncodeError:
            raise BodyError("row 1 has a name that is not UTF-8 text") from None
        columns = [Column(name, f"feature_{at}", "string") for at, name in enumerate(names)]
        return cls(Signature(tuple(columns)), is_strict=is_strict, max_rows=max_rows)

    def take(self, document: object) -> tuple[Sequence[Row], Sequence[Extra]]:
        """Return the rows of one JSON document, and fields that the signature does not know."""
        return self._quickly(document) or self._carefully(document)

    def columns_of(self, document: object) -> Sequence[Sequence[object]] | None:
        """Return a document's columns, where it holds them or objects with the same fields.

        They are of one length.
        """
        entries = self._entries(document)
        columns = None if entries is None else self._alike(entries)
        if columns is None and type(document) is dict:
            columns = self._held(document)
        if columns is None or len(set(map(len, columns))) != 1:
            return None
        return columns if 0 < len(columns[0]) <= self._max_rows else None

    def _held(self, document: dict[str, object]) -> Sequence[Sequence[object]] | None:
        """Return the columns that a frame of pandas or tensors hold."""
        found = opened(document, self._known, ENVELOPES)
        named: Mapping[str, Sequence[object]] = {}
        if is_split(found) and self._known.isdisjoint(found):
            named = split_columns(found)
        elif is_tensors(found):
            named = tensor_columns(cast("list[dict[str, object]]", found), self.names)
        if named.keys() != set(self.names):
            return None
        return [named[name] for name in self.names]

    def _quickly(self, document: object) -> tuple[Sequence[Row], Sequence[Extra]] | None:
        """Read objects, and lists of one length, in the usual envelopes."""
        entries = self._entries(document)
        if entries is None:
            return None
        kinds = set(map(type, entries))
        if kinds == {list}:
            return (entries, ()) if set(map(len, entries)) == {len(self.names)} else None
        return self._objects(entries, is_alone=entries[0] is document) if kinds == {dict} else None

    def _entries(self, document: object) -> list[Any] | None:
        """Take rows out of the usual envelopes."""
        entries = document
        if type(document) is dict:
            entries = [document]
            if len(document) == 1:
                ((name, inside),) = document.items()
                if name in ENVELOPES and name not in self._lone and type(inside) is list:
                    entries = inside
        if type(entries) is not list or not 0 < len(entries) <= self._max_rows:
            return None
        first = entries[0]
        if type(first) is dict and "features" in first and "features" not in self._known:
            if any(type(entry) is not dict or len(entry) != 1 for entry in entries):
                return None
            entries = [entry.get("features") for entry in entries]
            if set(map(type, entries)) != {list}:
                return None
        return entries

    def _alike(self, entries: Sequence[Any]) -> Sequence[Sequence[object]] | None:
        """Return the columns of objects with the same fields."""
        fields = fields_of(entries)
        plan = None if fields is None else self._plans[tuple(entries[0])]
        if fields is None or plan is None or plan.others:
            return None
        return cast("Sequence[Sequence[object]]", plan.pick([*fields, (None,) * len(entries)]))

    def _objects(
        self, entries: Sequence[dict[str, object]], *, is_alone: bool
    ) -> tuple[Sequence[Row], Sequence[Extra]] | None:
        if (columns := self._alike(entries)) is not None:
            return list(zip(*columns, strict=True)), ()
        plans = self._plans
        rows: list[Row] = []
        extras: list[Extra] = []
        for entry in entries:
            plan = plans[tuple(entry)]
            if plan is None:
                return None
            pick, others = plan
            values = [*entry.values(), None]
            if is_alone and not NESTED.isdisjoint(map(type, values)):
                return None  # It may be one of columns.
            for place, name in others:
                extras.append((len(rows), name, as_text(values[place])))
            rows.append(pick(values))
        return rows, extras

    def _plan(self, keys: tuple[str, ...]) -> Plan | None:
        """Return where in an object of these fields the inputs stand; behind it stands None."""
        known = self._lone if len(keys) == 1 else self._known
        if known.isdisjoint(keys) or TENSOR_FIELDS.issubset(keys):
            return None
        if self._is_strict and not set(self.names).issubset(keys):
            return None
        place = {name: at for at, name in enumerate(keys)}
        others = [(place[name], as_text(name)) for name in self._unknown(keys)]
        pick = picker([place.get(name, len(keys)) for name in self.names])
        return Plan(pick, tuple(others))

    def _unknown(self, names: Iterable[str]) -> list[str]:
        """Choose the fields that are told beside a row: not too many, but the id in any case."""
        found = [name for name in names if name not in self._known]
        return sorted(found, key=lambda name: name != self._id_name)[:_MAX_EXTRAS]

    def rows(self, document: object) -> list[list[object] | dict[str, object]]:
        """Return the rows of one document in any of the shapes: lists of values, or objects."""
        found = self._framed(document)
        if isinstance(found, dict):
            if found and all(isinstance(value, dict) for value in found.values()):
                raise BodyError(UNREAD)
            found = self._by_columns(found) or [found]
        elif found and isinstance(found, list) and _is_flat(found):
            # One row, or one value each of a model of one input.
            if len(self.names) == 1:
                require_rows(len(found), self._max_rows)
                found = [[value] for value in found]
            else:
                found = [found]
        if not isinstance(found, list) or not found:
            told = "the body holds no rows" if found == [] else "the body is a single JSON value"
            raise BodyError(f'{told}; expected a row, a list of rows or {{"instances": [rows]}}')
        require_rows(len(found), self._max_rows)
        rows: list[list[object] | dict[str, object]] = []
        for number, entry in enumerate(found, 1):
            row = inner(entry, self._lone)
            if not isinstance(row, dict | list):
                raise BodyError(f"row {number} is neither a list nor an object")
            if row and isinstance(row, dict) and self._known.isdisjoint(row):
                raise BodyError(f"row {number} has none of the signature's fields")
            rows.append(row)
        return rows

    def _carefully(self, document: object) -> tuple[Sequence[Row], Sequence[Extra]]:
        """Return the values of each row of one document, and fields that no column takes."""
        found = self.rows(document)
        rows: list[Row] = []
        extras: list[Extra] = []
        for number, entry in enumerate(found):
            row, others = self._row(entry, number + 1)
            rows.append(row)
            extras += [(number, as_text(name), as_text(value)) for name, value in others]
        if self._is_strict and len({isinstance(entry, dict) for entry in found}) > 1:
            raise BodyError("some rows are lists and some are objects; expected one of the two")
        return rows, extras

    def _framed(self, document: object) -> object:
        """Take rows out of what stands around them: envelopes, tensors, a frame of pandas."""
        is_lone = isinstance(document, dict) and len(document) == 1
        known = self._lone if is_lone else self._known
        found = inner(opened(document, known, ENVELOPES), known)
        if is_table(found) and self._known.isdisjoint(found):
            raise BodyError(UNREAD)
        if is_split(found) and self._known.isdisjoint(found):
            return split_frame(found, self._max_rows)
        return self._of_tensors(found) if is_tensors(found) else found

    def _of_tensors(self, found: object) -> object:
        assert isinstance(found, list), "is_tensors says so"
        tensors = read_tensors(found, len(self.names), self._max_rows)
        if any(tensor.name in self._known for tensor in tensors):
            return self._by_columns({tensor.name: tensor.rows for tensor in tensors})
        if (width := sum(tensor.width for tensor in tensors)) != len(self.names):
            raise BodyError(f"tensors of {width} values a row; expected {len(self.names)}")
        return [
            [value for part in parts for value in part]
            for parts in zip(*(tensor.rows for tensor in tensors), strict=True)
        ]

    def _by_columns(self, found: Mapping[str, object]) -> list[object] | None:
        return by_columns(found, self._known, self._max_rows)

    def _row(
        self, row: list[object] | dict[str, object], number: int
    ) -> tuple[Row, list[tuple[str, object]]]:
        if isinstance(row, dict):
            if self._is_strict and (lacking := [name for name in self.names if name not in row]):
                expected = listed(self.names)
                raise BodyError(f'row {number} has no "{lacking[0]}"; expected {expected}')
            others = [(name, row[name]) for name in self._unknown(row)]
            return [row.get(name) for name in self.names], others
        if len(row) != len(self.names):
            raise BodyError(f"row {number} has {len(row)} values; expected {listed(self.names)}")
        return row, []


def _names_of(
    document: object, max_rows: int, count: int | None, *, by_position: bool
) -> list[str]:
    """Return the names of a document's first row; by position where it has none."""
    first = inner(opened(document, (), ENVELOPES), ())
    if is_tensors(first):
        assert isinstance(first, list), "is_tensors says so"
        tensors = read_tensors(first, 1, max_rows)
        width = sum(tensor.width for tensor in tensors)
        if width > len(tensors) or (by_position and width == 1):
            return _positions(width)
        return [tensor.name for tensor in tensors]
    if is_split(first):
        first = split_frame(first, max_rows)
    while isinstance(first, list) and first and isinstance(first[0], list | dict):
        first = first[0]
    first = inner(first, ())
    if not isinstance(first, list | dict):
        raise BodyError(
            'the body is a single JSON value; expected a row, a list of rows or {"instances": '
            "[rows]}"
        )
    if not first:
        raise BodyError("row 1 is empty; expected at least one value")
    return list(first) if isinstance(first, dict) else _positions(count or len(first))


def _positions(count: int) -> list[str]:
    return [f"_c{at}" for at in range(count)]


class Plans(dict[Key, Plan | None]):
    """Remembers for a bounded number of keys how what has them is read; None: step by step."""

    def __init__(self, make: Callable[[Key], Plan | None]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> Plan | None:
        if len(self) >= _MAX_PLANS or len(str(key)) > _MAX_KEY:
            return None
        plan = self[key] = self._make(key)
        return plan


def fields_of(entries: Sequence[Any]) -> list[list[object]] | None:
    """Return the values of each field, where several rows are objects of the same fields."""
    if len(entries) < 2 or set(map(type, entries)) != {dict}:
        return None
    names = [*entries[0]]
    # As no object has a name twice, only rows of these fields in this order make such a list.
    if list(chain.from_iterable(entries)) != names * len(entries):
        return None
    return [list(map(itemgetter(name), entries)) for name in names]


def listed(names: Sequence[str]) -> str:
    """Return how many names there are, and the first of them."""
    more = ", …" if len(names) > _MAX_TOLD else ""
    return f"{len(names)} ({', '.join(names[:_MAX_TOLD])}{more})"


def opened(document: object, known: Container[str], envelopes: Sequence[str]) -> object:
    """Take the envelope off: one of those named, which parameters may stand beside."""
    if not isinstance(document, dict) or is_split(document) or is_table(document):
        return document
    if any(name in known for name in document):
        return document
    found = [document[name] for name in envelopes if isinstance(document.get(name), list | dict)]
    return found[0] if len(found) == 1 else document


def by_columns(
    found: Mapping[str, object], known: Container[str], most: int
) -> list[object] | None:
    """Turn an object of columns (``{"km": [1, 2]}``) into objects of rows, if it is one.

    Where most columns have lists, a single value, as redaction leaves it, belongs to no row: it is
    reported with the first as unfit; null is not.
    """
    columns = {
        name: _flat(value) if isinstance(value, list) else value
        for name, value in found.items()
        if name in known
    }
    lists = {name: value for name, value in columns.items() if isinstance(value, list)}
    single = {name: value for name, value in columns.items() if name not in lists}
    if len(lists) <= sum(value is not None for value in single.values()):
        return None
    if len({len(values) for values in lists.values()}) > 1:
        raise BodyError("columns of different lengths")
    count = len(next(iter(lists.values())))
    require_rows(count, most)
    rows: list[object] = [
        dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
    ]
    told = {name: [value] for name, value in single.items() if value is not None}
    rows[0] = {**dict(zip(lists, next(zip(*lists.values(), strict=True)), strict=True)), **told}
    return rows


def is_split(document: object) -> TypeGuard[dict[str, object]]:
    """Whether this is a frame of pandas in the orient ``split``."""
    return isinstance(document, dict) and {"columns", "data"} <= document.keys()


def is_table(document: object) -> TypeGuard[dict[str, object]]:
    """Whether this is a frame of pandas in the orient ``table``."""
    return isinstance(document, dict) and document.keys() == {"schema", "data"}


def _flat(values: list[object]) -> list[object]:
    """Take single values out of lists of one: a tensor of shape [n, 1] is a column."""
    if all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values if isinstance(value, list)]
    return values


def split_frame(found: Mapping[str, object], most: int = MAX_ROWS) -> list[object]:
    """Read a frame of pandas in the orient ``split``: names once, then rows."""
    names, rows = found["columns"], found["data"]
    if not isinstance(names, list) or not isinstance(rows, list):
        raise BodyError("“columns” and “data” are to be lists")
    if rows:
        require_rows(len(rows), most)
    if not all(isinstance(name, str) for name in names):
        return rows  # Numbered, as pandas does without names.
    if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise BodyError(f"a row of “data” has other than {len(names)} values")
    return [dict(zip(names, row, strict=True)) for row in rows]


def split_columns(found: Mapping[str, object]) -> dict[str, Sequence[object]]:
    """Return the columns of a frame of pandas in the orient ``split``; none of an unusual one."""
    names, rows = found["columns"], found["data"]
    if type(names) is not list or type(rows) is not list or set(map(type, names)) != {str}:
        return {}
    if len(set(names)) < len(names):
        return {}
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(names)}:
        return {}
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def inner(entry: object, known: Container[str]) -> object:
    """Take a row out of SageMaker's ``{"features": …}`` and ``{"data": {"features": {…}}}``."""
    for name in ("data", "features", "values"):
        if isinstance(entry, dict) and len(entry) == 1 and name in entry and name not in known:
            inside = entry[name]
            if not isinstance(inside, list | dict):
                break
            entry = inside
    return entry


def _is_flat(found: Iterable[object]) -> bool:
    return not any(isinstance(entry, list | dict) for entry in found)


def picker(places: Sequence[int]) -> Callable[[Sequence[object]], Row]:
    """Make a function that takes the values at some places, in their order."""
    if len(places) == 1:
        (place,) = places
        return lambda values: (values[place],)
    if not places:
        return lambda _: ()
    return itemgetter(*places)
