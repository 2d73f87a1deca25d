"""The checks of rules: a table of ours, and entry points ``driftline.checks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import number_text
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.results.violation import plural
from driftline.monitors.rules.checks import (
    NOTHING_JUDGED,
    NamesCheck,
    NumberCheck,
    QueryCheck,
    RowCheck,
    as_template,
    literal,
    range_detail,
    whole_tally,
)
from driftline.monitors.rules.condition import SqlCondition, require_query
from driftline.monitors.rules.declaration import Declaration, nearest
from driftline.monitors.rules.limits import Limits
from driftline.monitors.rules.outcome import Tally
from driftline.monitors.rules.own_functions import FunctionCheck
from driftline.monitors.rules.reach import FUNCTION
from driftline.monitors.rules.references import ForeignKey

GROUP = "driftline.checks"
# Keys that every rule may have, and those that every rule on rows may have.
COMMON = ("check", "name", "severity")
OF_ROWS = (*COMMON, "mostly", "nulls", "where")
OF_COLUMN = (*COMMON, "column", "where")
OF_FUNCTION = (*COMMON, "mostly")
LIMITS = ("min", "max", "above", "below")
# Each gives a number of finite values, exact to the last digits.
STATISTICS = {"mean": "favg", "sum": "fsum", "std": "stddev_samp"}
# Clocks differ: a time so little ahead is now.
LEEWAY = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = -62_135_596_800_000_000  # Python knows no time before the year 1.
# Allowed values that are named in a sentence.
NAMED = 3
NAMED_WIDTH = 60

Check = RowCheck | NumberCheck | QueryCheck | NamesCheck | FunctionCheck
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


def _row_check(
    found: Declaration,
    verdict: str,
    broken: str,
    wanted: str,
    columns: tuple[str, ...] | None = None,
    noun: str = "values",
) -> RowCheck:
    """Make a check of one column's values, or of several, with the keys of all checks on rows."""
    return RowCheck(
        (found.text("column"),) if columns is None else columns,
        verdict,
        broken,
        wanted,
        noun=noun,
        mostly=found.share("mostly"),
        nulls_fail=found.nulls_fail(),
        where=found.condition("where"),
    )


def _with_range(check: RowCheck, number: str = "{number}") -> RowCheck:
    """Return a check that tells the least and the greatest number that break it."""
    return replace(check, aggregates=f"min({number}), max({number})", detail=range_detail)


def _limits(found: Declaration) -> Limits:
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
    return Limits(*limits.values())


def _number_limits(found: Declaration) -> Limits:
    limits = _limits(found)
    if limits.are_times:
        raise InputError(f"{found.shown}: a time as bound; expected a number")
    return limits


def _bounds(found: Declaration) -> RowCheck:
    """Judge values, of which one that is no number (no time) is out of bounds."""
    limits = _limits(found)
    form = "time" if limits.are_times else "number"
    inside = limits.sql(f"{{{form}}}")
    verdict = (
        f"CASE WHEN {{{form}}} IS NOT NULL THEN {inside} WHEN {{{form}_misfit}} THEN false END"
    )
    check = _row_check(found, verdict, limits.broken, limits.wanted)
    return check if limits.are_times else _with_range(check)


def _non_negative(found: Declaration) -> RowCheck:
    """Judge numbers alone: a text is not below 0, and another check's finding."""
    return _with_range(_row_check(found, "{number} >= 0", "below 0", "at least 0"))


def _not_null(found: Declaration) -> RowCheck:
    return _row_check(found, "{text} IS NOT NULL", "empty", "not empty", noun="rows")


def _values(found: Declaration) -> RowCheck:
    """Judge values by their texts; of fractions, whose texts have several forms, by numbers too."""
    allowed, is_forbidden = found.scalars("values"), found.truth("forbidden")
    listed = ", ".join(as_template(literal(one)) for one in allowed)
    verdict = f"{{text}} IN ({listed})"
    if numbers := coerce(pa.array(allowed, pa.string()), "double")[0].drop_null().to_pylist():
        same = ", ".join(f"'{one!r}'::DOUBLE" for one in numbers)
        is_fraction = "typeof({value}) = 'DOUBLE'"
        verdict = f"({verdict} OR ({is_fraction} AND TRY_CAST({{value}} AS DOUBLE) IN ({same})))"
    shown = ", ".join(f'"{one}"' for one in allowed[:NAMED])
    if len(allowed) > NAMED or len(shown) > NAMED_WIDTH:
        shown = f"the {len(allowed)} listed values"
    if is_forbidden:
        verdict = f"{{text}} IS NULL OR NOT {verdict}"
        verdict = f"CASE WHEN {{text}} IS NOT NULL THEN {verdict} END"
        return _row_check(found, verdict, f"one of {shown}", f"none of {shown}")
    return _row_check(found, verdict, f"not one of {shown}", f"one of {shown}")


def _pattern(found: Declaration) -> RowCheck:
    pattern, is_forbidden = found.text("pattern"), found.truth("forbidden")
    is_anywhere = found.truth("anywhere")
    try:
        for one in (pattern, f"(?:{pattern})"):
            pc.match_substring_regex(pa.array([""]), one)
    except pa.ArrowInvalid as error:
        reason = str(error).rpartition("Invalid regular expression: ")[2]
        raise InputError(
            f'{found.shown}: pattern "{pattern}": {reason}; expected one in the syntax of RE2, '
            "which has no look-around and no back references"
        ) from error
    matches = "regexp_matches" if is_anywhere else "regexp_full_match"
    verdict = f"{matches}({{text}}, {as_template(literal(pattern))})"
    match = f'{"containing" if is_anywhere else "matching"} "{pattern}"'
    if is_forbidden:
        return _row_check(found, f"NOT {verdict}", match, f"not {match}")
    return _row_check(found, verdict, f"not {match}", match)


def _least_and_most(found: Declaration) -> Limits:
    least, most = found.count("min"), found.count("max")
    if least is None and most is None:
        raise InputError(f"{found.shown}: no bound; expected min, max or both")
    if least is not None and most is not None and least > most:
        raise InputError(f"{found.shown}: from {least} to {most}; expected the smaller bound first")
    return Limits(least, most)


def _length(found: Declaration) -> RowCheck:
    limits = _least_and_most(found)
    wanted = str(limits.least) if limits.least == limits.most else limits.wanted
    words = f"of {wanted} characters"
    return _row_check(found, limits.sql("length({text})"), f"not {words}", words)


def _expression(found: Declaration) -> RowCheck:
    condition = found.condition("expression")
    if condition is None:
        raise found.wrong("expression", 'a condition such as "arrival >= departure"')
    columns, words = condition.columns, f'where "{condition.text}"'
    noun = "values" if len(columns) == 1 else "rows"
    verdict = as_template(condition.sql)
    check = _row_check(found, verdict, f"{words} does not hold", f"{words} holds", columns, noun)
    check = replace(check, conditions=(condition,))
    if len(columns) > 1:
        return check
    is_number = "typeof({value}) IN ('BIGINT', 'DOUBLE')"
    return _with_range(check, f"CASE WHEN {is_number} THEN TRY_CAST({{value}} AS DOUBLE) END")


def _unique(found: Declaration) -> RowCheck:
    if ("column" in found.found) == ("columns" in found.found):
        raise InputError(f"{found.shown}: expected column, or columns for a combination")
    columns = found.texts("column" if "column" in found.found else "columns")
    noun = "value" if len(columns) == 1 else "combination"
    phrase = f"with a {noun} that occurs more than once"
    check = _unlike_others(found, phrase, lambda count: f" ({plural(count[0], f'such {noun}')})")
    return replace(check, columns=columns)


def _duplicate_rows(found: Declaration) -> RowCheck:
    check = _unlike_others(found, "like another row", lambda count: f" ({count[0]:,} different)")
    return replace(check, ignore=found.texts("ignore", default=()))


def _unlike_others(
    found: Declaration, broken: str, detail: Callable[[Sequence[Any]], str]
) -> RowCheck:
    """Judge the rows that have any of the values."""
    return RowCheck(
        (),
        "count(*) OVER (PARTITION BY {key}) = 1",
        broken,
        "unlike any other",
        only="{key} IS NOT NULL",
        aggregates="count(DISTINCT {key})",
        detail=detail,
        mostly=found.share("mostly"),
        where=found.condition("where"),
    )


def _ordered(found: Declaration) -> RowCheck:
    """Compare each value with the one before it."""
    falls, is_strict = found.check == "decreasing", found.truth("strictly")
    sign = ("<" if falls else ">") + "=" * (not is_strict)
    broken = f"not {'below' if falls else 'above'}" if is_strict else "above" if falls else "below"
    return RowCheck(
        columns=(found.text("column"),),
        verdict=f"coalesce({{value}} {sign} lag({{value}}) OVER (ORDER BY _row), true)",
        only="{value} IS NOT NULL", is_ordered=True, mostly=found.share("mostly"),
        broken=f"{broken} the value before",
        wanted=f"{broken.removeprefix('not ') if is_strict else f'not {broken}'} the value before",
    )  # fmt: skip


def _foreign_key(found: Declaration) -> RowCheck:
    column = found.text("column")
    key = ForeignKey(column, found.text("table"), found.text("key", default=column), found.reach)
    wanted = f'in column "{key.key}" of {key.table}'
    check = _row_check(found, "{inside}", f"not {wanted}", wanted)
    return replace(check, own={"inside": key.holds})


def _row_count(found: Declaration) -> NumberCheck:
    limits, where = _least_and_most(found), found.condition("where")
    expected = f"{limits.least:,}" if limits.least == limits.most else _counts(limits)

    def judge(numbers: Sequence[Any]) -> Tally:
        words = f"{plural(numbers[0], 'row')}{_with(where)}"
        is_broken = not limits.hold(numbers[0])
        return whole_tally(numbers[0], words, expected, is_broken=is_broken)

    return NumberCheck((), "count(*)", judge, where)


def _counts(limits: Limits) -> str:
    if limits.least is not None and limits.most is not None:
        return f"{limits.least:,} to {limits.most:,}"
    known = limits.most if limits.least is None else limits.least
    return f"{'at most' if limits.least is None else 'at least'} {known:,}"


def _freshness(found: Declaration) -> NumberCheck:
    as_of = found.moment("as_of") or found.as_of
    assert as_of is not None, "a check is made for a moment"
    max_age = found.span("max_age")
    # A time to come would hide that nothing has come for long.
    last = f"TIMESTAMP '{(as_of.astimezone(UTC) + LEEWAY).replace(tzinfo=None).isoformat()}'"
    wanted = f"a time within {_span_in_words(max_age)}"

    def judge(numbers: Sequence[Any]) -> Tally:
        count, newest_us, future = numbers
        is_old = True
        words = "all times lie in the future" if future else "no row holds a time"
        if newest_us is not None:
            newest = EPOCH + timedelta(microseconds=max(newest_us, EARLIEST_US))
            is_old = as_of - newest > max_age
            words = f"newest time is {newest:%Y-%m-%d %H:%M:%S} UTC"
        return whole_tally(count, words, wanted, is_broken=is_old)

    newest = f"epoch_us(max({{time}}) FILTER ({{time}} <= {last}))"
    aggregates = f"count({{time}}), {newest}, count(*) FILTER ({{time}} > {last})"
    return NumberCheck((found.text("column"),), aggregates, judge)


def _span_in_words(span: timedelta) -> str:
    """Write a span in its largest whole unit: ``36 hours``, ``1 day``."""
    seconds = span.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= size and seconds % size == 0:
            return plural(int(seconds // size), unit)
    return f"{seconds:g} seconds"


def _statistic(found: Declaration) -> NumberCheck:
    """Judge one number of a column's values; what is missing or no number is left out."""
    limits, where = _number_limits(found), found.condition("where")
    what, number = found.check, f"{STATISTICS.get(found.check)}({{fraction}})"
    number += " FILTER (isfinite({fraction}))"
    if is_quantile := found.check == "quantile":
        share = found.share("q", default=None)
        what, number = f"quantile {share:g}", f"quantile_cont({{fraction}}, {share!r})"
    what += _with(where)

    def judge(numbers: Sequence[Any]) -> Tally:
        count, infinite, value = numbers
        value = np.nan if value is None else float(value)
        if infinite and (not is_quantile or np.isnan(value)):
            words = f"{what} cannot be calculated: {plural(infinite, 'infinite value')}"
            return whole_tally(count, words, limits.wanted, is_broken=True)
        if not count or np.isnan(value):
            return NOTHING_JUDGED
        words, is_broken = f"{what} is {number_text(value)}", not limits.hold(value)
        return whole_tally(count, words, limits.wanted, is_broken=is_broken)

    aggregates = f"count({{fraction}}), count(*) FILTER (isinf({{fraction}})), {number}"
    return NumberCheck((found.text("column"),), aggregates, judge, where)


def _distinct_count(found: Declaration) -> NumberCheck:
    limits, where = _number_limits(found), found.condition("where")

    def judge(numbers: Sequence[Any]) -> Tally:
        count, distinct = numbers
        if not count:
            return NOTHING_JUDGED
        words = f"{plural(distinct, 'different value')}{_with(where)}"
        return whole_tally(count, words, limits.wanted, is_broken=not limits.hold(distinct))

    aggregates = "count({key}), count(DISTINCT {key})"
    return NumberCheck((found.text("column"),), aggregates, judge, where)


def _with(where: SqlCondition | None) -> str:
    return "" if where is None else f" with {where.text}"


def _query(found: Declaration) -> QueryCheck:
    text = found.text("query")
    try:
        require_query(text)
    except InputError as error:
        raise InputError(f"{found.shown}: {error}") from error
    return QueryCheck(text, found.share("mostly"))


def _column_order(found: Declaration) -> NamesCheck:
    return NamesCheck(found.texts("columns"), in_order=True, exact=found.truth("exact"))


CHECKS: Mapping[str, Entry] = {
    "bounds": Entry((*OF_ROWS, "column", *LIMITS), _bounds),
    "non_negative": Entry((*OF_ROWS, "column"), _non_negative),
    "not_null": Entry((*OF_ROWS, "column"), _not_null),
    "values": Entry((*OF_ROWS, "column", "values", "forbidden"), _values),
    "pattern": Entry((*OF_ROWS, "column", "pattern", "anywhere", "forbidden"), _pattern),
    "length": Entry((*OF_ROWS, "column", "min", "max"), _length),
    "expression": Entry((*OF_ROWS, "expression"), _expression),
    "unique": Entry((*COMMON, "column", "columns", "mostly", "where"), _unique),
    "duplicate_rows": Entry((*COMMON, "ignore", "mostly", "where"), _duplicate_rows),
    "freshness": Entry((*COMMON, "column", "max_age", "as_of"), _freshness),
    "row_count": Entry((*COMMON, "min", "max", "where"), _row_count),
    **{name: Entry((*OF_COLUMN, *LIMITS), _statistic) for name in STATISTICS},
    "quantile": Entry((*OF_COLUMN, "q", *LIMITS), _statistic),
    "distinct_count": Entry((*OF_COLUMN, *LIMITS), _distinct_count),
    "columns_exist": Entry((*COMMON, "columns"), lambda found: NamesCheck(found.texts("columns"))),
    "column_order": Entry((*COMMON, "columns", "exact"), _column_order),
    "foreign_key": Entry((*OF_ROWS, "column", "table", "key"), _foreign_key),
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


def table_function(
    found: Declaration, function: Callable[..., object] | None = None
) -> FunctionCheck:
    """Make the check by a function over a table; without one, load it by the check's name.

    Unknown keys are its arguments.
    """
    options = {key: value for key, value in found.found.items() if key not in OF_FUNCTION}
    more = options.get("columns")
    named = [options.get("column"), *(more if isinstance(more, list | tuple) else ())]
    columns = tuple(dict.fromkeys(one for one in named if isinstance(one, str)))
    return FunctionCheck(
        found.check, function, options, columns, found.share("mostly"), found.reach
    )
