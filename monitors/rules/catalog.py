"""The checks of rules: a table of ours, and entry points ``driftline.checks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import UNFIT, number_text
from driftline.capture.windows.window import ROW_IDS
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.results.violation import plural
from driftline.monitors.rules.checks import (
    Check,
    QueryCheck,
    RowCheck,
    Tally,
    WholeCheck,
    range_detail,
    whole_tally,
)
from driftline.monitors.rules.condition import SqlCondition, require_query
from driftline.monitors.rules.limits import Limits
from driftline.monitors.rules.own_functions import FunctionCheck
from driftline.monitors.rules.reach import FUNCTION
from driftline.monitors.rules.references import ForeignKey
from driftline.monitors.rules.rule import Rule, nearest

GROUP = "driftline.checks"
# Keys that every rule may have, and those that every rule on rows may have.
COMMON = ("check", "name", "severity")
OF_ROWS = (*COMMON, "mostly", "nulls", "where")
OF_COLUMN = (*COMMON, "column", "where")
OF_FUNCTION = (*COMMON, "mostly")
LIMITS = {"min": ">=", "above": ">", "max": "<=", "below": "<"}
# Each gives a number of finite values, exact to the last digits.
STATISTICS = {"mean": "favg", "sum": "fsum", "std": "stddev_samp"}
# Clocks differ: a time so little ahead is now.
LEEWAY = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = -62_135_596_800_000_000  # Python knows no time before the year 1.
# Allowed values that are named in a sentence.
NAMED = 3
NAMED_WIDTH = 60


def make_check(rule: Rule) -> Check:
    """Make the check that a rule declares; InputError says what is wrong with the rule."""
    if rule.function is not None:
        return _table_function(rule, rule.function)
    if rule.check not in CHECKS:
        function = None if FUNCTION.fullmatch(rule.check) else _load(rule.check)
        return _table_function(rule, function)
    make, keys = CHECKS[rule.check]
    rule.refuse_others(keys)
    return make(rule)


def _row_check(rule: Rule, verdict: str, broken: str, wanted: str) -> RowCheck:
    """Make a check of one column's values, with the keys of all checks on rows."""
    return RowCheck(
        columns=() if rule.check == "expression" else (rule.text("column"),),
        verdict=verdict,
        broken=broken,
        wanted=wanted,
        noun="values",
        mostly=rule.share("mostly"),
        nulls_fail=rule.nulls_fail,
        where=rule.condition("where"),
    )


def _with_range(check: RowCheck, number: str = "{number}") -> RowCheck:
    """Return a check that tells the least and the greatest number that break it."""
    return replace(check, aggregates=f"min({number}), max({number})", detail=range_detail)


def _literal(text: str) -> str:
    """Write a text as SQL, as part of a template."""
    quoted = "'" + text.replace("'", "''") + "'"
    return _as_template("(" + quoted.replace("\0", "' || chr(0) || '") + ")")


def _as_template(sql: str) -> str:
    """Return SQL that is none of ours as part of a template."""
    return sql.replace("{", "{{").replace("}", "}}")


def _limits(rule: Rule, *, are_counts: bool = False) -> Limits:
    """Read bounds: numbers or times, or whole numbers that are not negative."""
    read = rule.count if are_counts else rule.limit
    keys = ("min", "max") if are_counts else LIMITS
    limits = {key: bound for key in keys if (bound := read(key)) is not None}
    if not limits:
        words = "min, max or both" if are_counts else "min, max, above or below"
        raise InputError(f"{rule.shown}: no bound; expected {words}")
    for pair in (("min", "above"), ("max", "below")):
        if limits.keys() >= {*pair}:
            raise InputError(f"{rule.shown}: {pair[0]} and {pair[1]}; expected one of the two")
    if len({isinstance(one, str) for one in limits.values()}) > 1:
        raise InputError(f"{rule.shown}: a number and a time as bounds; expected one kind")
    low, *rest = limits.values()
    if rest and low > rest[0]:  # type: ignore[operator] # Of one kind.
        raise InputError(f"{rule.shown}: from {low} to {rest[0]}; expected the smaller bound first")
    return Limits({LIMITS[key]: one for key, one in limits.items()}, are_counts)


def _number_limits(rule: Rule) -> Limits:
    limits = _limits(rule)
    if limits.are_times:
        raise InputError(f"{rule.shown}: a time as bound; expected a number")
    return limits


def _bounds(rule: Rule) -> RowCheck:
    """Judge values, of which one that is no number (no time) is out of bounds."""
    limits = _limits(rule)
    form = "time" if limits.are_times else "number"
    inside = limits.sql(f"{{{form}}}")
    verdict = (
        f"CASE WHEN {{{form}}} IS NOT NULL THEN {inside} WHEN {{{form}_misfit}} THEN false END"
    )
    check = _row_check(rule, verdict, limits.broken, limits.wanted)
    return check if limits.are_times else _with_range(check)


def _non_negative(rule: Rule) -> RowCheck:
    """Judge numbers alone: a text is not below 0, and another check's finding."""
    return _with_range(_row_check(rule, "{number} >= 0", "below 0", "at least 0"))


def _not_null(rule: Rule) -> RowCheck:
    return replace(_row_check(rule, "{text} IS NOT NULL", "empty", "not empty"), noun="rows")


def _values(rule: Rule) -> RowCheck:
    """Judge values by their texts; of fractions, whose texts have several forms, by numbers too."""
    allowed = rule.values()
    verdict = f"{{text}} IN ({', '.join(map(_literal, allowed))})"
    if numbers := coerce(pa.array(allowed, pa.string()), "double")[0].drop_null().to_pylist():
        same = ", ".join(f"'{one!r}'::DOUBLE" for one in numbers)
        is_fraction = "typeof({value}) = 'DOUBLE'"
        verdict = f"({verdict} OR ({is_fraction} AND TRY_CAST({{value}} AS DOUBLE) IN ({same})))"
    shown = ", ".join(f'"{one}"' for one in allowed[:NAMED])
    if len(allowed) > NAMED or len(shown) > NAMED_WIDTH:
        shown = f"the {len(allowed)} listed values"
    if rule.truth("forbidden"):
        verdict = f"CASE WHEN {{text}} IS NOT NULL THEN NOT {verdict} END"
        return _row_check(rule, verdict, f"one of {shown}", f"none of {shown}")
    return _row_check(rule, verdict, f"not one of {shown}", f"one of {shown}")


def _pattern(rule: Rule) -> RowCheck:
    pattern, is_anywhere = rule.text("pattern"), rule.truth("anywhere")
    try:
        for one in (pattern, f"(?:{pattern})"):
            pc.match_substring_regex(pa.array([""]), one)
    except pa.ArrowInvalid as error:
        reason = str(error).rpartition("Invalid regular expression: ")[2]
        raise InputError(
            f'{rule.shown}: pattern "{pattern}": {reason}; expected one in the syntax of RE2, '
            "which has no look-around and no back references"
        ) from error
    matches = "regexp_matches" if is_anywhere else "regexp_full_match"
    verdict = f"{matches}({{text}}, {_literal(pattern)})"
    match = f'{"containing" if is_anywhere else "matching"} "{pattern}"'
    if rule.truth("forbidden"):
        return _row_check(rule, f"NOT {verdict}", match, f"not {match}")
    return _row_check(rule, verdict, f"not {match}", match)


def _length(rule: Rule) -> RowCheck:
    limits = _limits(rule, are_counts=True)
    words = f"of {limits.wanted} characters"
    return _row_check(rule, limits.sql("length({text})"), f"not {words}", words)


def _expression(rule: Rule) -> RowCheck:
    condition = rule.condition("expression")
    if condition is None:
        raise rule.wrong("expression", 'a condition such as "arrival >= departure"')
    words = f'where "{condition.text}"'
    verdict = _as_template(condition.sql)
    check = _row_check(rule, verdict, f"{words} does not hold", f"{words} holds")
    check = replace(check, columns=condition.columns, conditions=(condition,))
    if len(condition.columns) > 1:
        return replace(check, noun="rows")
    is_number = "typeof({value}) IN ('BIGINT', 'DOUBLE')"
    return _with_range(check, f"CASE WHEN {is_number} THEN TRY_CAST({{value}} AS DOUBLE) END")


def _unique(rule: Rule) -> RowCheck:
    if ("column" in rule.declared) == ("columns" in rule.declared):
        raise InputError(f"{rule.shown}: expected column, or columns for a combination")
    columns = rule.texts("column" if "column" in rule.declared else "columns")
    noun = "value" if len(columns) == 1 else "combination"
    phrase = f"with a {noun} that occurs more than once"
    check = _unlike_others(rule, phrase, lambda count: f" ({plural(count[0], f'such {noun}')})")
    return replace(check, columns=columns)


def _duplicate_rows(rule: Rule) -> RowCheck:
    check = _unlike_others(rule, "like another row", lambda count: f" ({count[0]:,} different)")
    return replace(check, ignore=rule.texts("ignore", default=()))


def _unlike_others(rule: Rule, broken: str, detail: Callable[[Sequence[Any]], str]) -> RowCheck:
    """Judge the rows that have any of the values."""
    return RowCheck(
        verdict="count(*) OVER (PARTITION BY {key}) = 1",
        broken=broken,
        wanted="unlike any other",
        only="{key} IS NOT NULL",
        aggregates="count(DISTINCT {key})",
        detail=detail,
        mostly=rule.share("mostly"),
        where=rule.condition("where"),
    )


def _ordered(rule: Rule) -> RowCheck:
    """Compare each value with the one before it."""
    falls, is_strict = rule.check == "decreasing", rule.truth("strictly")
    sign = ("<" if falls else ">") + "=" * (not is_strict)
    broken = f"not {'below' if falls else 'above'}" if is_strict else "above" if falls else "below"
    return RowCheck(
        columns=(rule.text("column"),),
        verdict=f"coalesce({{value}} {sign} lag({{value}}) OVER (ORDER BY _row), true)",
        only="{value} IS NOT NULL", is_of_all=True, mostly=rule.share("mostly"),
        broken=f"{broken} the value before",
        wanted=f"{broken.removeprefix('not ') if is_strict else f'not {broken}'} the value before",
    )  # fmt: skip


def _foreign_key(rule: Rule) -> RowCheck:
    column = rule.text("column")
    key = ForeignKey(column, rule.text("table"), rule.text("key", default=column), rule.reach)
    wanted = f'in column "{key.key}" of {key.table}'
    check = _row_check(rule, "{inside}", f"not {wanted}", wanted)
    return replace(check, own={"inside": key.holds})


def _row_count(rule: Rule) -> WholeCheck:
    limits, where = _limits(rule, are_counts=True), rule.condition("where")

    def judge(numbers: Sequence[Any]) -> Tally:
        words = f"{plural(numbers[0], 'row')}{_with(where)}"
        is_broken = not limits.hold(numbers[0])
        return whole_tally(numbers[0], words, limits.wanted, is_broken=is_broken)

    return WholeCheck(aggregates="count(*)", judge=judge, where=where)


def _freshness(rule: Rule) -> WholeCheck:
    as_of = rule.moment("as_of") or rule.as_of or EPOCH
    max_age = rule.span("max_age")
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
    return WholeCheck(columns=(rule.text("column"),), aggregates=aggregates, judge=judge)


def _span_in_words(span: timedelta) -> str:
    """Write a span in its largest whole unit: ``36 hours``, ``1 day``."""
    seconds = span.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= size and seconds % size == 0:
            return plural(int(seconds // size), unit)
    return f"{seconds:g} seconds"


def _statistic(rule: Rule) -> WholeCheck:
    """Judge one number of a column's values; what is missing or no number is left out."""
    limits, where = _number_limits(rule), rule.condition("where")
    what, values = rule.check, "{number}::DOUBLE"
    number = f"{STATISTICS.get(what)}({values}) FILTER (isfinite({values}))"
    if is_quantile := what == "quantile":
        share = rule.share("q", default=None)
        what, number = f"quantile {share:g}", f"quantile_cont({values}, {share!r})"
    what += _with(where)

    def judge(numbers: Sequence[Any]) -> Tally:
        count, infinite, value = numbers
        value = np.nan if value is None else float(value)
        if infinite and (not is_quantile or np.isnan(value)):
            words = f"{what} cannot be calculated: {plural(infinite, 'infinite value')}"
            return whole_tally(count, words, limits.wanted, is_broken=True)
        if not count or np.isnan(value):
            return Tally()
        words, is_broken = f"{what} is {number_text(value)}", not limits.hold(value)
        return whole_tally(count, words, limits.wanted, is_broken=is_broken)

    aggregates = f"count({values}), count(*) FILTER (isinf({values})), {number}"
    columns = (rule.text("column"),)
    return WholeCheck(columns=columns, aggregates=aggregates, judge=judge, where=where)


def _distinct_count(rule: Rule) -> WholeCheck:
    limits, where = _number_limits(rule), rule.condition("where")

    def judge(numbers: Sequence[Any]) -> Tally:
        count, distinct = numbers
        if not count:
            return Tally()
        words = f"{plural(distinct, 'different value')}{_with(where)}"
        return whole_tally(count, words, limits.wanted, is_broken=not limits.hold(distinct))

    aggregates, columns = "count({key}), count(DISTINCT {key})", (rule.text("column"),)
    return WholeCheck(columns=columns, aggregates=aggregates, judge=judge, where=where)


def _with(where: SqlCondition | None) -> str:
    return "" if where is None else f" with {where.text}"


def _query(rule: Rule) -> QueryCheck:
    text = rule.text("query")
    try:
        require_query(text)
    except InputError as error:
        raise InputError(f"{rule.shown}: {error}") from error
    return QueryCheck(
        text=text, mostly=rule.share("mostly"), is_of_all=True,
        broken="that the query finds", wanted="that it does not find",
    )  # fmt: skip


def _names(rule: Rule) -> WholeCheck:
    """Judge the names of the columns: whether some are there, or stand in an order."""
    wanted, in_order = rule.texts("columns"), rule.check == "column_order"
    exact = rule.truth("exact")

    def judge(found: Sequence[Any]) -> Tally:
        names = [name for name in found if name not in (*ROW_IDS, UNFIT)]
        lacking = [name for name in wanted if name not in names]
        present = [name for name in names if name in wanted]
        others = [name for name in names if name not in wanted]
        words = ""
        if lacking:
            words = f"no column{'s' * (len(lacking) > 1)} {_listed(lacking)}"
        elif in_order and present != list(wanted):
            words = f"columns in the order {_listed(present)}"
        elif exact and others:
            words = f"other columns {_listed(others)}"
        expected = _listed(wanted) + (" in this order" if in_order else "")
        expected += " and no others" if exact else ""
        return whole_tally(len(names), words, expected, is_broken=bool(words))

    return WholeCheck(judge=judge, is_of_all=True)


def _listed(names: Sequence[str]) -> str:
    shown = [f'"{name}"' for name in names]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


# How each is made, and the keys that it has.
CHECKS: Mapping[str, tuple[Callable[[Rule], Check], tuple[str, ...]]] = {
    "bounds": (_bounds, (*OF_ROWS, "column", *LIMITS)),
    "non_negative": (_non_negative, (*OF_ROWS, "column")),
    "not_null": (_not_null, (*OF_ROWS, "column")),
    "values": (_values, (*OF_ROWS, "column", "values", "forbidden")),
    "pattern": (_pattern, (*OF_ROWS, "column", "pattern", "anywhere", "forbidden")),
    "length": (_length, (*OF_ROWS, "column", "min", "max")),
    "expression": (_expression, (*OF_ROWS, "expression")),
    "unique": (_unique, (*COMMON, "column", "columns", "mostly", "where")),
    "duplicate_rows": (_duplicate_rows, (*COMMON, "ignore", "mostly", "where")),
    "freshness": (_freshness, (*COMMON, "column", "max_age", "as_of")),
    "row_count": (_row_count, (*COMMON, "min", "max", "where")),
    **dict.fromkeys(STATISTICS, (_statistic, (*OF_COLUMN, *LIMITS))),
    "quantile": (_statistic, (*OF_COLUMN, "q", *LIMITS)),
    "distinct_count": (_distinct_count, (*OF_COLUMN, *LIMITS)),
    "columns_exist": (_names, (*COMMON, "columns")),
    "column_order": (_names, (*COMMON, "columns", "exact")),
    "foreign_key": (_foreign_key, (*OF_ROWS, "column", "table", "key")),
    "increasing": (_ordered, (*COMMON, "column", "strictly", "mostly")),
    "decreasing": (_ordered, (*COMMON, "column", "strictly", "mostly")),
    "sql": (_query, (*COMMON, "query", "mostly")),
}


@lru_cache(maxsize=64)
def _load(name: str) -> Callable[..., object]:
    """Load a check of another package."""
    points = entry_points(group=GROUP)
    if name not in points.names:
        known = (*CHECKS, *sorted(points.names))
        raise InputError(
            f'rule "{name}": no such check{nearest(name, known)}; expected one of '
            f'{", ".join(known)}, or the entry point of a package in the group "{GROUP}"'
        )
    point = points[name]
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:  # Foreign code: what it raises is its defect.
        raise InputError(
            f'rule "{name}": {point.value} cannot be loaded ({type(error).__name__}: {error}); '
            "mend or remove the package that provides it"
        ) from error
    if not callable(loaded):
        raise InputError(f'rule "{name}": {point.value} is no function; expected one')
    return loaded  # type: ignore[no-any-return] # Checked to be callable.


def _table_function(rule: Rule, function: Callable[..., object] | None) -> FunctionCheck:
    """Make the check by a function over a table; without one, it is loaded by the check's name.

    Unknown keys are its arguments.
    """
    options = {key: value for key, value in rule.declared.items() if key not in OF_FUNCTION}
    more = options.get("columns")
    named = [options.get("column"), *(more if isinstance(more, list | tuple) else ())]
    return FunctionCheck(
        name=rule.check, function=function, options=options, reach=rule.reach, is_of_all=True,
        columns=tuple(dict.fromkeys(one for one in named if isinstance(one, str))),
        broken=f"that fail {rule.check.rpartition(':')[2]}", wanted="that do not",
        mostly=rule.share("mostly"),
    )  # fmt: skip
