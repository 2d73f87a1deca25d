"""An explanation of an alarm's state as lines of text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

_WIDTH = 80
_POINTS_SHOWN = 20
_INDENT = 12


def explained(found: Mapping[str, Any]) -> list[str]:
    """Write what the programming interface says of an alarm's state."""
    lines = [f"{found['name']}: {found['state']} since {_time(found['since'])}"]
    lines += _part("because", found["reason"])
    lines += _part("watches", found["condition"])
    if found["marks"]:
        lines += _part("periods", f"{_marks(found['marks'])} (old to new; X breaching, 0 good, -)")
        lines += _values(found["points"])
    for one in found["children"]:
        lines += _condition(one)
    lines += _part("decided by", found["decided"])
    lines += _cause(found)
    if (last := found["last_alarm"]) is not None:
        lines += _part("last alarm", f"{_time(last['since'])} to {_time(last['until'])}")
        lines += _cause(last)
    lines += _part("next", found["next_evaluation"] + _at(found))
    if found["problem"]:
        lines += _part("problem", found["problem"])
    for one in found["findings"]:
        lines += _finding(one)
    lines += _actions(found)
    return lines


def _part(label: str, text: str) -> list[str]:
    """Write a labelled sentence, folded behind its label."""
    blank = " " * _INDENT
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{label:<{_INDENT}}", subsequent_indent=blank,
        break_on_hyphens=False,
    ) or [label]  # fmt: skip


def _cause(found: Mapping[str, Any]) -> Iterator[str]:
    """Write the cause, its window, and where to look: on one line each, to be copied."""
    if found["cause"]:
        yield from _part("cause", found["cause"])
    if found["window"] is not None:
        yield from _part("window", _time(found["window"]))
    for key in ("page", "rows"):
        if found[key] is not None:
            yield f"{key:<{_INDENT}}{found[key]}"


def _marks(marks: str) -> str:
    """Cut a long window in its middle, where it is the least telling."""
    most = _WIDTH - _INDENT - 45
    return marks if len(marks) <= most else f"{marks[: most // 2]}…{marks[-most // 2 :]}"


def _values(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Write the newest periods with their values; a star stands at those that decide."""
    blank = " " * _INDENT
    left_out = len(points) - _POINTS_SHOWN
    if left_out > 0:
        yield f"{blank}({left_out} older periods left out; --json has them)"
    for one in points[-_POINTS_SHOWN:]:
        value = "-" if one["value"] is None else f"{one['value']:.6g}"
        star = "*" if one["is_counted"] else " "
        line = f"{blank}{star} {_time(one['start'])}  {one['mark']}  {value}"
        if one["lower"] is not None and one["upper"] is not None:
            line += f"  (band {one['lower']:.6g} to {one['upper']:.6g})"
        yield line


def _condition(one: Mapping[str, Any]) -> list[str]:
    mark = "true " if one["holds"] else "false"
    lines = _part("", f"{mark} {one['condition']}")
    blank = " " * (_INDENT + 8)
    lines += [
        f"{blank}{alarm['name']}: {alarm['state']} since {_time(alarm['since'])}"
        for alarm in one["alarms"]
    ]
    return lines


def _at(found: Mapping[str, Any]) -> str:
    is_shown = found["next_at"] is not None and found["kind"] == "metric"
    # What follows its datapoints names its times in the sentence.
    is_shown = is_shown and found["next_evaluation"].startswith("every")
    return f"; next at {_time(found['next_at'])}" if is_shown else ""


def _finding(one: Mapping[str, Any]) -> list[str]:
    lines = _part("no data", one["problem"])
    lines += _part("fix", one["mend"])
    if one["similar"]:
        lines += _part("", "similar metrics with data:")
    for other in one["similar"]:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(other["dimensions"].items()))
        lines += _part("", f"  {other['namespace']} {other['name']} {{{shown}}}")
    return lines


def _actions(found: Mapping[str, Any]) -> Iterator[str]:
    for one in found["actions"]:
        why = f": {one['why']}" if one["why"] else ""
        yield from _part("action", f"{one['channel']} {one['status']}{why}")
    if found["actions_reason"]:
        yield from _part("no actions", found["actions_reason"])


def _time(text: str | None) -> str:
    if text is None:
        return "-"
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")
