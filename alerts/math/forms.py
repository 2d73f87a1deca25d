"""The arguments and results of each function of metric math: one table, checked before use."""

from __future__ import annotations

from collections.abc import Sequence

from driftline.alerts.errors import ExpressionError

# "scalar", "series", "array"; "text" and "id" for what only some functions take; or a word itself.
Kind = str

WORDS = ("REPEAT", "LINEAR", "ASC", "DESC", "AVG", "MIN", "MAX", "SUM")

# CloudWatch has these, too; they look metrics up by themselves, which an alarm may not.
LATER = ("SEARCH", "INSIGHT_RULE_METRIC", "SERVICE_QUOTA", "LAMBDA", "DB_PERF_INSIGHTS")

_EACH = ("series -> series", "array -> array")
_FOLD = ("series -> scalar", "array -> series")
_MAP = ("scalar -> scalar", *_EACH)
_CLOCK = ("series -> series",)

# CloudWatch User Guide, "Metric math syntax and functions": arguments and return types.
FORMS: dict[str, tuple[str, ...]] = {
    "ABS": _MAP,
    "ANOMALY_DETECTION_BAND": ("id -> array", "id scalar -> array"),
    "AVG": _FOLD,
    "CEIL": _MAP,
    "DATAPOINT_COUNT": _FOLD,
    "DATE": _CLOCK,
    "DAY": _CLOCK,
    "DIFF": _EACH,
    "DIFF_TIME": _EACH,
    "EPOCH": _CLOCK,
    "FILL": (
        "series scalar|series|REPEAT|LINEAR -> series",
        "array scalar|series|REPEAT|LINEAR -> array",
    ),
    "FIRST": ("array -> series",),
    "FLOOR": _MAP,
    "HOUR": _CLOCK,
    "IF": (
        "series scalar|series -> series",
        "series scalar|series scalar|series -> series",
        "scalar series -> series",
        "scalar series scalar|series -> series",
        "scalar scalar series -> series",
        "scalar scalar -> scalar",
        "scalar scalar scalar -> scalar",
    ),
    "LAST": ("array -> series",),
    "LOG": _MAP,
    "LOG10": _MAP,
    "MAX": _FOLD,
    "METRICS": ("-> array", "text -> array"),
    "METRIC_COUNT": ("array -> scalar",),
    "MIN": _FOLD,
    "MINUTE": _CLOCK,
    "MONTH": _CLOCK,
    "PERIOD": ("id -> scalar",),
    "RATE": _EACH,
    "REMOVE_EMPTY": ("array -> array",),
    "RUNNING_SUM": _EACH,
    "SLICE": ("array scalar -> array", "array scalar scalar -> array"),
    "SORT": (
        "array AVG|MIN|MAX|SUM ASC|DESC -> array",
        "array AVG|MIN|MAX|SUM ASC|DESC scalar -> array",
    ),
    "STDDEV": _FOLD,
    "SUM": _FOLD,
    "TIME_SERIES": ("scalar -> series",),
    "YEAR": _CLOCK,
}

_VALUES = ("scalar", "series", "array")


def _read(form: str) -> tuple[list[list[str]], str]:
    wanted, _, given = form.rpartition("->")
    return [one.split("|") for one in wanted.split()], given.strip()


_READ = {name: [_read(form) for form in forms] for name, forms in FORMS.items()}


def result_kind(deed: str, value: str, taken: Sequence[Kind]) -> Kind:
    """Return what a step gives for what it takes."""
    if deed == "number":
        return "scalar"
    if deed == "text":
        return "text"
    if deed == "word":
        return value
    if deed == "negate":
        return _operand(value, taken[0])
    if deed == "operate":
        return _of_operator(value, taken)
    if deed == "array":
        return _of_array(taken)
    for wanted, given in _READ[value]:
        if len(wanted) == len(taken) and all(
            kind in one for kind, one in zip(taken, wanted, strict=True)
        ):
            return given
    found = ", ".join(taken)
    raise ExpressionError(f"{value}({found}); expected {_usage(value)}")


def _of_operator(sign: str, taken: Sequence[Kind]) -> Kind:
    left, right = (_operand(sign, kind) for kind in taken)
    if left == right == "array":
        raise ExpressionError(
            f'"{sign}" between two arrays; expected an array beside a time series or a number'
        )
    # The order of _VALUES is that of size: an array beside anything is an array.
    return max(left, right, key=_VALUES.index)


def _operand(sign: str, kind: Kind) -> Kind:
    if kind not in _VALUES:
        raise ExpressionError(f'"{sign}" beside {kind}; expected a number, a time series or array')
    return kind


def _of_array(taken: Sequence[Kind]) -> Kind:
    if not taken:
        raise ExpressionError("an array without members; expected one such as [m1, m2]")
    for kind in taken:
        if kind not in ("series", "array"):
            raise ExpressionError(f"an array with a {kind} in it; expected time series only")
    return "array"


def _usage(name: str) -> str:
    return " or ".join(
        f"{name}({', '.join('|'.join(one) for one in wanted)})" for wanted, _ in _READ[name]
    )
