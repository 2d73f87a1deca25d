"""A report's small tables: segments and declared rules, as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.results.violation import JsonValue, percent

# Keys of a rule that are said elsewhere in its line.
SAID = frozenset({"check", "column", "name", "severity"})
WORD = 60


@dataclass(frozen=True, slots=True)
class SideTable:
    """A titled table of texts, violated rows first."""

    title: str
    titles: tuple[str, ...]  # Of each column; one that begins with # stands over numbers.
    rows: tuple[tuple[str, ...], ...]
    broken: tuple[bool, ...]


def side_tables(report: CheckResult) -> tuple[SideTable, ...]:
    """Return the non-empty tables of a report."""
    return tuple(one for one in (_segments(report), _rules(report), _explained(report)) if one.rows)


def _segments(report: CheckResult) -> SideTable:
    """List the segments: the most violated first, then those nearest to their bound."""
    ordered = sorted(
        report.segments,
        key=lambda segment: (-segment.violation_count, -(segment.max_drift_ratio or 0.0)),
    )
    rows = tuple(
        (
            one.name,
            f"{one.row_count:,}",
            percent(one.share_of_rows),
            f"{one.violation_count:,}",
            "" if one.max_drift_ratio is None else f"{one.max_drift_ratio:.2f}",
            one.state.words,
        )
        for one in ordered
    )
    titles = ("segment", "#rows", "#of all", "#violations", "#x bound", "not judged")
    return SideTable("Segments", titles, rows, tuple(one.violation_count > 0 for one in ordered))


def _rules(report: CheckResult) -> SideTable:
    """List the declared rules, violated ones first."""
    ordered = sorted(report.declared_rules, key=lambda one: one["passed"] is not False)
    rows = tuple(
        (
            _rule(one),
            "not judged" if one["passed"] is None else "kept" if one["passed"] else "broken",
            _count(one["judged_count"]),
            _count(one["broken_count"]),
            str(one["found"] or ""),
        )
        for one in ordered
    )
    titles = ("rule", "", "#judged", "#against it", "found")
    return SideTable("Rules", titles, rows, tuple(one["passed"] is False for one in ordered))


def _explained(report: CheckResult) -> SideTable:
    """List the rows that an attribution monitor explains one by one, by output of the model."""
    outputs = report.details.get("rows") if report.kind == "attribution" else None
    by_label = outputs if isinstance(outputs, dict) else {}
    rows = []
    for label, found in by_label.items():
        for one in found if isinstance(found, list) else ():
            assert isinstance(one, dict)
            parts, answer = one["contributions"], one["answer"]
            assert isinstance(parts, dict)
            assert isinstance(answer, float)
            where = "/".join(
                str(value) for key, value in one.items() if key not in ("answer", "contributions")
            )
            said = ", ".join(f"{name} {value:+.3g}" for name, value in parts.items())
            of_class = label if len(by_label) > 1 else report.details.get("positive")
            rows.append((str(of_class or ""), where, f"{answer:.4g}", said))
    unit = _unit(report.details)
    titles = ("class", "row", f"#answer ({unit})" if unit else "#answer", "contributions")
    # Of a model of one output that is no class, none is told.
    first = 0 if any(of_class for of_class, *_ in rows) else 1
    shown = tuple(row[first:] for row in rows)
    return SideTable("Rows explained", titles[first:], shown, (False,) * len(rows))


def _unit(details: Mapping[str, JsonValue]) -> str:
    """Return the unit of explained answers; "" of values, and where a function has none known."""
    unit, has_positive = str(details.get("units", "")), bool(details.get("positive"))
    if unit == "answer":  # A function's.
        return "probability" if has_positive else ""
    return "" if unit == "value" else unit


def _rule(one: Mapping[str, JsonValue]) -> str:
    """Return a rule's name, or its check with its arguments."""
    rule = one["rule"]
    assert isinstance(rule, dict)
    if rule.get("name"):
        return str(rule["name"])
    check = rule.get("check")
    given = ", ".join(
        _word(value) if key == check else f"{key} {_word(value)}"  # An expression is its own name.
        for key, value in rule.items()
        if key not in SAID
    )
    words = (str(rule.get("column") or ""), str(check or ""), given)
    return " ".join(word for word in words if word)


def _word(value: JsonValue) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= WORD else f"{text[: WORD - 1]}…"


def _count(value: JsonValue) -> str:
    return f"{value:,}" if isinstance(value, int) and value else ""
