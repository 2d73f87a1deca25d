"""The checks of rules: a table of ours, and entry points ``driftline.checks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points

from driftline.errors import InputError
from driftline.monitors.rules.column_checks import MOMENTS, Columns, DistinctCount, Statistic
from driftline.monitors.rules.declaration import Declaration, nearest
from driftline.monitors.rules.outcome import Check
from driftline.monitors.rules.own_functions import TableFunction
from driftline.monitors.rules.reach import FUNCTION
from driftline.monitors.rules.references import ForeignKey
from driftline.monitors.rules.row_checks import (
    Bounds,
    Formula,
    Length,
    Pattern,
    Present,
    RowCheck,
    Values,
)
from driftline.monitors.rules.row_counter import RowRule
from driftline.monitors.rules.sql import Query
from driftline.monitors.rules.table_checks import Freshness, RowCount, Unique
from driftline.monitors.rules.table_rule import Judge, Ordered, TableRule

GROUP = "driftline.checks"
# Keys that every rule may have, and those that every rule on rows may have.
COMMON = ("check", "name", "severity")
OF_ROWS = (*COMMON, "mostly", "nulls", "where")
OF_COLUMN = (*COMMON, "column", "where")
OF_FUNCTION = (*COMMON, "mostly")
LIMITS = ("min", "max", "above", "below")

Maker = Callable[[Declaration], Check]


@dataclass(frozen=True, slots=True)
class Entry:
    """One check of the table: its keys, and its factory."""

    keys: tuple[str, ...]
    make: Maker


def make_check(found: Declaration) -> Check:
    """Make the check that a rule declares."""
    entry = CHECKS.get(found.check)
    if entry is not None:
        found.refuse_others(entry.keys)
        return entry.make(found)
    return table_function(found, None if FUNCTION.fullmatch(found.check) else _load(found.check))


def _of_rows(keys: tuple[str, ...], make: Callable[[Declaration], RowCheck]) -> Entry:
    """Return the entry of a condition on rows, with the common keys."""
    return Entry((*OF_ROWS, *keys), lambda found: _row_rule(found, make(found)))


def _row_rule(found: Declaration, check: RowCheck) -> RowRule:
    return RowRule(
        check=check,
        mostly=found.share("mostly"),
        nulls_fail=found.nulls_fail(),
        where=found.expression("where"),
        declaration=found.found,
    )


def _bounds(found: Declaration) -> Bounds:
    limits = {key: found.limit(key) for key in LIMITS}
    known = [limit for limit in limits.values() if limit is not None]
    if not known:
        raise InputError(f"{found.shown}: no bound; expected min, max, above or below")
    for pair in (("min", "above"), ("max", "below")):
        if all(limits[key] is not None for key in pair):
            raise InputError(f"{found.shown}: {pair[0]} and {pair[1]}; expected one of the two")
    if len({isinstance(one, str) for one in known}) > 1:
        raise InputError(f"{found.shown}: a number and a time as bounds; expected one kind")
    low = limits["min"] if limits["above"] is None else limits["above"]
    high = limits["max"] if limits["below"] is None else limits["below"]
    if low is not None and high is not None and low > high:  # type: ignore[operator] # One kind.
        raise InputError(f"{found.shown}: from {low} to {high}; expected the smaller bound first")
    return Bounds(
        found.text("column"), limits["min"], limits["max"], limits["above"], limits["below"]
    )


def _statistic(found: Declaration) -> Statistic:
    quantile = found.share("q", default=None) if found.check == "quantile" else 0.5
    return Statistic(found.check, _number_bounds(found), quantile, found.expression("where"))


def _number_bounds(found: Declaration) -> Bounds:
    bounds = _bounds(found)
    if bounds.is_of_times:
        raise InputError(f"{found.shown}: a time as bound; expected a number")
    return bounds


def _foreign_key(found: Declaration) -> ForeignKey:
    column = found.text("column")
    return ForeignKey(column, found.text("table"), found.text("key", default=column), found.reach)


def _table_rule(found: Declaration, judge: Judge) -> TableRule:
    return TableRule(judge, mostly=found.share("mostly"), declaration=found.found)


def _ordered(found: Declaration) -> TableRule:
    falls = found.check == "decreasing"
    return _table_rule(found, Ordered(found.text("column"), falls, found.truth("strictly")))


def _query(found: Declaration) -> TableRule:
    text = found.text("query")
    try:
        return _table_rule(found, Query(text, discreet=found.reach.discreet))
    except InputError as error:
        raise InputError(f"{found.shown}: {error}") from error


def _non_negative(found: Declaration) -> Bounds:
    """Judge numbers alone: a text is not below 0, and another check's finding."""
    return Bounds(found.text("column"), 0, numbers_only=True)


def _values(found: Declaration) -> Values:
    return Values(found.text("column"), found.scalars("values"), found.truth("forbidden"))


def _pattern(found: Declaration) -> Pattern:
    try:
        return Pattern(
            found.text("column"),
            found.text("pattern"),
            anywhere=found.truth("anywhere"),
            forbidden=found.truth("forbidden"),
        )
    except InputError as error:
        known = str(error).startswith("rule ")
        raise error if known else InputError(f"{found.shown}: {error}") from error


def _length(found: Declaration) -> Length:
    least, most = _least_and_most(found)
    return Length(found.text("column"), least, most)


def _least_and_most(found: Declaration) -> tuple[int | None, int | None]:
    least, most = found.count("min"), found.count("max")
    if least is None and most is None:
        raise InputError(f"{found.shown}: no bound; expected min, max or both")
    if least is not None and most is not None and least > most:
        raise InputError(f"{found.shown}: from {least} to {most}; expected the smaller bound first")
    return least, most


def _formula(found: Declaration) -> Formula:
    expression = found.expression("expression")
    if expression is None:
        raise found.wrong("expression", 'a condition such as "arrival >= departure"')
    return Formula(expression)


def _row_count(found: Declaration) -> RowCount:
    return RowCount(*_least_and_most(found), found.expression("where"))


def _freshness(found: Declaration) -> Freshness:
    as_of = found.moment("as_of") or found.as_of
    assert as_of is not None, "a check is made for a moment"
    return Freshness(found.text("column"), found.span("max_age"), as_of)


def _unique(found: Declaration) -> Unique:
    if ("column" in found.found) == ("columns" in found.found):
        raise InputError(f"{found.shown}: expected column, or columns for a combination")
    key = "column" if "column" in found.found else "columns"
    return Unique(
        columns=found.texts(key),
        mostly=found.share("mostly"),
        where=found.expression("where"),
        declaration=found.found,
    )


def _duplicate_rows(found: Declaration) -> Unique:
    return Unique(
        ignore=found.texts("ignore", default=()),
        mostly=found.share("mostly"),
        where=found.expression("where"),
        declaration=found.found,
    )


CHECKS: Mapping[str, Entry] = {
    "bounds": _of_rows(("column", *LIMITS), _bounds),
    "non_negative": _of_rows(("column",), _non_negative),
    "not_null": _of_rows(("column",), lambda found: Present(found.text("column"))),
    "values": _of_rows(("column", "values", "forbidden"), _values),
    "pattern": _of_rows(("column", "pattern", "anywhere", "forbidden"), _pattern),
    "length": _of_rows(("column", "min", "max"), _length),
    "expression": _of_rows(("expression",), _formula),
    "unique": Entry((*COMMON, "column", "columns", "mostly", "where"), _unique),
    "duplicate_rows": Entry((*COMMON, "ignore", "mostly", "where"), _duplicate_rows),
    "freshness": Entry((*COMMON, "column", "max_age", "as_of"), _freshness),
    "row_count": Entry((*COMMON, "min", "max", "where"), _row_count),
    **{name: Entry((*OF_COLUMN, *LIMITS), _statistic) for name in MOMENTS},
    "quantile": Entry((*OF_COLUMN, "q", *LIMITS), _statistic),
    "distinct_count": Entry(
        (*OF_COLUMN, *LIMITS),
        lambda found: DistinctCount(_number_bounds(found), found.expression("where")),
    ),
    "columns_exist": Entry((*COMMON, "columns"), lambda found: Columns(found.texts("columns"))),
    "column_order": Entry(
        (*COMMON, "columns", "exact"),
        lambda found: Columns(found.texts("columns"), in_order=True, exact=found.truth("exact")),
    ),
    "foreign_key": _of_rows(("column", "table", "key"), _foreign_key),
    "increasing": Entry((*COMMON, "column", "strictly", "mostly"), _ordered),
    "decreasing": Entry((*COMMON, "column", "strictly", "mostly"), _ordered),
    "sql": Entry((*COMMON, "query", "mostly"), _query),
}


def plugged_in() -> tuple[str, ...]:
    """Name the checks of other packages that are installed, in alphabetical order."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


@lru_cache(maxsize=64)
def _load(name: str) -> Callable[..., object]:
    """Load a check of another package."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        known = (*CHECKS, *plugged_in())
        raise InputError(
            f'rule "{name}": no such check{nearest(name, known)}; expected one of '
            f'{", ".join(known)}, or the entry point of a package in the group "{GROUP}"'
        )
    try:
        loaded = found[0].load()
    except (Exception, SystemExit) as error:  # Foreign code: what it raises is its defect.
        raise InputError(
            f'rule "{name}": {found[0].value} cannot be loaded ({type(error).__name__}: {error}); '
            "mend or remove the package that provides it"
        ) from error
    if not callable(loaded):
        raise InputError(f'rule "{name}": {found[0].value} is no function; expected one')
    return loaded  # type: ignore[no-any-return] # Checked to be callable.


def table_function(found: Declaration, function: Callable[..., object] | None = None) -> TableRule:
    """Make the check by a function over a table; without one, load it by the check's name.

    Unknown keys are its arguments.
    """
    options = {key: value for key, value in found.found.items() if key not in OF_FUNCTION}
    more = options.get("columns")
    named = [options.get("column"), *(more if isinstance(more, list | tuple) else ())]
    columns = tuple(dict.fromkeys(one for one in named if isinstance(one, str)))
    return _table_rule(found, TableFunction(found.check, function, options, columns, found.reach))
