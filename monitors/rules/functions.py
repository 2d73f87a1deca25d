"""The functions that expressions may call, each on whole columns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import InputError
from driftline.monitors.rules.operators import (
    SPAN,
    MismatchError,
    Value,
    compare,
    either,
    number,
    text,
    time,
)

Function = Callable[[Sequence[Value]], Value]
SECOND_US = 1_000_000


def whole_match(pattern: str) -> str:
    """Return a pattern that holds only where the whole text matches."""
    whole = rf"\A(?:{pattern})\z"
    for one in (pattern, whole):
        try:
            pc.match_substring_regex(pa.array([""]), one)
        except pa.ArrowInvalid as error:
            reason = str(error).rpartition("Invalid regular expression: ")[2]
            raise InputError(
                f'pattern "{pattern}": {reason}; expected one in the syntax of RE2, which has no '
                "look-around and no back references"
            ) from error
    return whole


def _takes(count: int, most: int | None = None) -> Callable[[Function], Function]:
    """Return how many arguments a function takes."""

    def wrap(function: Function) -> Function:
        def checked(values: Sequence[Value]) -> Value:
            limit = count if most is None else most
            if not count <= len(values) <= limit:
                wanted = str(count) if limit == count else f"{count} or more"
                raise MismatchError(
                    f"{function.__name__.strip('_')}(…) of {len(values)} values; expected {wanted}"
                )
            return function(values)

        return checked

    return wrap


def _plain(name: str, apply: Callable[..., Value], read: Callable[[Value], Value]) -> Function:
    """Make a function of one value."""

    def function(values: Sequence[Value]) -> Value:
        return apply(read(values[0]))

    function.__name__ = name
    return _takes(1)(function)


def _fraction(apply: Callable[..., Value]) -> Callable[[Value], Value]:
    """Calculate with fractions; what has no answer, such as log(0), is open."""

    def calculated(value: Value) -> Value:
        found = apply(value.cast(pa.float64()))
        return pc.if_else(pc.is_finite(found), found, pa.scalar(None, pa.float64()))

    return calculated


def _textual(name: str, apply: Callable[..., Value]) -> Function:
    """Make a function of a text and a constant text."""

    def function(values: Sequence[Value]) -> Value:
        wanted = values[1]
        if not isinstance(wanted, pa.Scalar) or not pa.types.is_string(wanted.type):
            raise MismatchError(f'{name}(text, "…"): expected a text in quotes')
        return apply(text(values[0]), wanted.as_py())

    function.__name__ = name
    return _takes(2)(function)


def _matches(value: Value, pattern: str) -> Value:
    try:
        return pc.match_substring_regex(value, whole_match(pattern))
    except InputError as error:
        raise MismatchError(str(error)) from error


@_takes(1, 2)
def _round(values: Sequence[Value]) -> Value:
    digits = values[1].as_py() if len(values) > 1 and isinstance(values[1], pa.Scalar) else 0
    if not isinstance(digits, int):
        raise MismatchError("round(x, digits): expected a whole number of digits")
    # As Python rounds: halves to the even neighbour.
    return pc.round(number(values[0]), ndigits=digits, round_mode="half_to_even")


@_takes(2, 20)
def _min(values: Sequence[Value]) -> Value:
    return reduce(lambda left, right: either(compare("<=", left, right), left, right), values)


@_takes(2, 20)
def _max(values: Sequence[Value]) -> Value:
    return reduce(lambda left, right: either(compare(">=", left, right), left, right), values)


@_takes(2, 20)
def _coalesce(values: Sequence[Value]) -> Value:
    return reduce(lambda left, right: either(pc.is_valid(left), left, right), values)


def _span(name: str, seconds: int) -> Function:
    def function(values: Sequence[Value]) -> Value:
        length = pc.multiply(number(values[0]).cast(pa.float64()), float(seconds * SECOND_US))
        return pc.round(length).cast(pa.int64()).cast(SPAN)

    function.__name__ = name
    return _takes(1)(function)


def _read_number(value: Value) -> Value:
    if isinstance(value, pa.Scalar):
        raise MismatchError("number(x): expected a column")
    return number(value)


FUNCTIONS: Mapping[str, Function] = {
    "abs": _plain("abs", pc.abs, number),
    "round": _round,
    "floor": _plain("floor", pc.floor, number),
    "ceil": _plain("ceil", pc.ceil, number),
    "sqrt": _plain("sqrt", _fraction(pc.sqrt), number),
    "log": _plain("log", _fraction(pc.ln), number),
    "exp": _plain("exp", _fraction(pc.exp), number),
    "min": _min,
    "max": _max,
    "coalesce": _coalesce,
    "number": _plain("number", _read_number, lambda value: value),
    "text": _plain("text", lambda value: value, text),
    "len": _plain("len", lambda value: pc.utf8_length(value).cast(pa.int64()), text),
    "lower": _plain("lower", pc.utf8_lower, text),
    "upper": _plain("upper", pc.utf8_upper, text),
    "strip": _plain("strip", pc.utf8_trim_whitespace, text),
    "startswith": _textual("startswith", pc.starts_with),
    "endswith": _textual("endswith", pc.ends_with),
    "contains": _textual("contains", pc.match_substring),
    "matches": _textual("matches", _matches),
    "time": _plain("time", lambda value: value, time),
    "year": _plain("year", pc.year, time),
    "month": _plain("month", pc.month, time),
    "day": _plain("day", pc.day, time),
    "hour": _plain("hour", pc.hour, time),
    "weekday": _plain("weekday", pc.day_of_week, time),
    "days": _span("days", 86_400),
    "hours": _span("hours", 3_600),
    "minutes": _span("minutes", 60),
    "seconds": _span("seconds", 1),
}
