"""Frames, relations and streams of other libraries as Arrow, without importing one of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from driftline.errors import InputError
from driftline.formats.arrow_types import (
    WITH_NA,
    as_fitted,
    carried,
    holds_beyond_int64,
    plain_array,
    plain_field,
)
from driftline.formats.cells import as_text
from driftline.formats.coercion import some_zoned, text_array

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 1 << 17
# Lists of mixed kinds are written as JSON writes them, as those of files are.
LISTED = (list, tuple, np.ndarray)
# What pandas calls objects that all are values of one kind.
PLAIN_OBJECTS = frozenset(
    ("string", "bytes", "integer", "floating", "mixed-integer-float", "decimal", "boolean", "date",
     "time", "timedelta", "empty")
)  # fmt: skip
EXPECTED = "expected numbers, texts, truth values, times or lists of numbers"


def is_pandas(data: object) -> TypeGuard[pd.DataFrame]:
    """Whether data is a frame of pandas, which is not imported for that."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its index as columns, where that has names: pandas' files have them."""
    import pandas as pd

    index = frame.index
    levels = {
        name: index.get_level_values(level)
        for level, name in enumerate(index.names)
        if name is not None and name not in frame.columns
    }
    if not levels or isinstance(index, pd.RangeIndex):
        return frame
    found = frame.copy(deep=False)
    found.columns = found.columns.astype(object)
    for name, values in levels.items():
        found[name] = values
    return found


def from_series(data: object) -> object:
    """Return a named column of pandas or polars as a frame; anything else as it is."""
    if not any(_is_a(data, library, "Series") for library in ("pandas", "polars")):
        return data
    name = getattr(data, "name", None)
    if not isinstance(name, str) or not name:
        raise InputError(
            "a Series without a name of its own; expected a frame: series.to_frame("
            '"NAME") of a column, frame.iloc[[0]] of a row'
        )
    return data.to_frame()  # type: ignore[attr-defined] # A series has it.


def _is_a(data: object, library: str, name: str) -> bool:
    """Look a class up by name, so that nobody pays for importing what nobody uses."""
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == library
        for kind in type(data).__mro__
    )


def as_table(data: object) -> pa.Table | None:
    """Return data that lies in memory as a table; None for what is no such."""
    if isinstance(data, pa.Table):
        return data
    if is_explanation(data):
        return _contributions(data)
    # A frame of polars lies in memory, too: asked for its stream, it gives no copy.
    if is_polars := _is_a(data, "polars", "DataFrame"):
        _refuse_objects(data.schema.items())  # type: ignore[attr-defined] # A frame has it.
    if is_polars or isinstance(data, Mapping) or hasattr(data, "__arrow_c_array__"):
        try:
            return pa.table(data)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise _no_table(data, error) from error
    return None


def is_explanation(data: object) -> bool:
    """Whether data has the form of a ``shap.Explanation``, which is not imported for that."""
    return all(hasattr(data, name) for name in ("values", "base_values", "data", "feature_names"))


def _contributions(data: object) -> pa.Table:
    """Return explanations as a column for each feature, and output where there are several."""
    found = np.asarray(_explained(data.values))  # type: ignore[attr-defined] # It was looked for.
    names = _listed(data.feature_names)  # type: ignore[attr-defined]
    if found.ndim not in (2, 3) or names is None or found.shape[1] != len(names):
        count = "no" if names is None else len(names)
        raise InputError(
            f"an explanation with values of shape {found.shape} and {count} feature names; "
            "expected (rows, features) or (rows, features, outputs), and a name for each feature; "
            "of one row give explanation[:1]"
        )
    columns = [(name, found[:, at]) for at, name in enumerate(names)]
    if found.ndim == 3:
        outputs = _listed(getattr(data, "output_names", None))
        if outputs is None or len(outputs) != found.shape[2]:
            outputs = [f"label{at}" for at in range(found.shape[2])]
        columns = [
            (f"{name}_{output}", values[:, place])
            for name, values in columns
            for place, output in enumerate(outputs)
        ]
    table = dict(columns)
    if len(table) < len(columns):
        [(name, times)] = Counter(name for name, _ in columns).most_common(1)
        raise InputError(
            f'an explanation where the name "{name}" occurs {times} times; expected one for each '
            "feature (and output): set its feature_names, or its output_names"
        )
    return pa.table(table)


def _explained(values: object) -> NDArray[np.float64]:
    """Return an explanation's values, which must be real numbers."""
    try:
        found = np.asarray(values)
        if found.dtype.kind in "biuf" or (found.dtype == object and found.ndim > 1):
            return found.astype(np.float64)
        kind = "none" if values is None else f"of type {found.dtype}"
    except (TypeError, ValueError):
        kind = "no rows of equal length, or hold no numbers"
    raise InputError(
        f"an explanation whose values are {kind}; expected an array of numbers of shape "
        "(rows, features) or (rows, features, outputs)"
    )


def _listed(names: object) -> list[str] | None:
    """Return names as texts; None for what is no list of them."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        return None
    return [str(name) for name in names]


def as_stream(data: object) -> pa.RecordBatchReader | None:
    """Return data that may come only once, batch by batch; None for other data.

    A lazy frame of polars is computed piece by piece; a relation of DuckDB, too.
    """
    if isinstance(data, pa.RecordBatchReader):
        return data
    if isinstance(data, ds.Scanner):
        return data.to_reader()
    if _is_a(data, "polars", "LazyFrame"):
        data = _lazy_batches(data)
    if not hasattr(data, "__arrow_c_stream__"):
        return None
    try:
        return pa.RecordBatchReader.from_stream(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _no_table(data, error) from error


def _lazy_batches(frame: object) -> object:
    """Compute a lazy polars frame in pieces, or at once where its version knows no pieces."""
    _refuse_objects(frame.collect_schema().items())  # type: ignore[attr-defined]
    if hasattr(frame, "collect_batches"):
        pieces: object = frame.collect_batches(maintain_order=True)
        if hasattr(pieces, "__arrow_c_stream__"):
            return pieces
    return frame.collect()  # type: ignore[attr-defined] # A lazy frame of polars has it.


def _refuse_objects(schema: Iterable[tuple[str, object]]) -> None:
    """Refuse what polars keeps as Python objects: Arrow gets their addresses."""
    for name, kind in schema:
        if str(kind) == "Object":
            raise InputError(f'column "{name}": Python objects; {EXPECTED}')


def _no_table(data: object, error: Exception) -> InputError:
    told = str(error).partition("\n")[0]
    return InputError(
        f"data of type {type(data).__name__} is no table ({told}); expected named columns"
    )


@dataclass(frozen=True)
class PandasRows:
    """A pandas frame, taken over piece by piece; mixed objects become text, as in a file."""

    frame: pd.DataFrame
    # By position: columns that only a look at all values can tell.
    whole: Mapping[int, pa.Array]
    schema: pa.Schema

    @classmethod
    def of(cls, frame: pd.DataFrame) -> PandasRows:
        """Look at the columns; those of objects are taken over at once."""
        whole: dict[int, pa.Array] = {}
        fields = []
        for index, name in enumerate(frame.columns):
            series = frame.iloc[:, index]
            if series.dtype.kind == "c":
                raise _odd(name, complex)
            if series.dtype == object:
                _refuse_odd(name, series)
                whole[index] = plain_array(_taken(series))
                field = pa.field(as_text(str(name)), whole[index].type)
            else:
                found = _taken(series.iloc[:0]).type
                kind = pa.float64() if _is_beyond(found, series) else found
                field = plain_field(pa.field(as_text(str(name)), kind))
            fields.append(as_fitted(field, None, "nan") if _has_nan(field, series) else field)
        return cls(frame, whole, pa.schema(fields))

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """Read the rows from the first."""
        for at in range(0, len(self.frame), BATCH_ROWS):
            rows = slice(at, at + BATCH_ROWS)
            columns = [
                self.whole[index][rows]
                if index in self.whole
                else carried(_taken(self.frame.iloc[rows, index]), kind)
                for index, kind in enumerate(self.schema.types)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _has_nan(field: pa.Field, series: pd.Series) -> bool:
    """Whether truth values are NaN where they are missing, or are so to scikit-learn."""
    if not pa.types.is_boolean(field.type):
        return False
    if series.dtype != object:
        return str(series.dtype) in WITH_NA
    return any(value is not None for value in series[series.isna()][:1])


def _is_beyond(found: pa.DataType, series: pd.Series) -> bool:
    return pa.types.is_uint64(found) and holds_beyond_int64(_taken(series))


def _refuse_odd(name: object, series: pd.Series) -> None:
    """Refuse objects that are no values, and times of which only some have a zone."""
    import pandas as pd

    if pd.api.types.infer_dtype(series, skipna=True) in PLAIN_OBJECTS:
        return
    values = [value for value in series if value is not pd.NaT]
    for kind, value in {type(value): value for value in values}.items():
        # A set's order, and an address, differ from process to process.
        if issubclass(kind, complex | set | frozenset) or " object at 0x" in str(value):
            raise _odd(name, kind)
    if len({value.tzinfo is None for value in values if isinstance(value, datetime)}) > 1:
        raise some_zoned(name)


def _odd(name: object, kind: type) -> InputError:
    mend = "; make two columns of its two parts" if issubclass(kind, complex) else ""
    return InputError(f'column "{name}": values of type {kind.__name__}; {EXPECTED}{mend}')


def _taken(series: pd.Series) -> pa.Array:
    sparse = getattr(series, "sparse", None)
    if sparse is not None:  # Arrow has no such arrays, and as texts they are no numbers.
        series = sparse.to_dense()
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _texts(series)


def _texts(series: pd.Series) -> pa.Array:
    missing = series.isna()
    return text_array(
        None if gone is True else as_text([*value]) if isinstance(value, LISTED) else str(value)
        for value, gone in zip(series, missing.tolist(), strict=True)
    )
