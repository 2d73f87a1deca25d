"""A report as HTML: one table of violations, one of features, no script and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from driftline.monitors.violation import JsonValue, plural

__all__ = ["report_page"]

STYLE = """
.driftline{font-family:system-ui,sans-serif;font-size:14px;line-height:1.4;max-width:72em}
.driftline table{border-collapse:collapse;margin:.6em 0 1.2em}
.driftline th,.driftline td{padding:.25em .7em;border-bottom:1px solid #8884;text-align:left}
.driftline td.number{text-align:right;font-variant-numeric:tabular-nums}
.driftline .page{color:#b3261e;font-weight:600}
.driftline .ticket{color:#8a6100;font-weight:600}
"""

VIOLATION_COLUMNS = (
    ("feature_name", "feature"),
    ("constraint_check_type", "check"),
    ("severity", "severity"),
    ("share_of_blame", "share of blame"),
    ("row_count", "rows"),
    ("cause", "cause"),
)
FEATURE_COLUMNS = (
    ("feature", "feature"),
    ("type", "type"),
    ("distance", "distance"),
    ("bound", "bound"),
    ("ratio", "ratio"),
    ("set", "strongest set"),
    ("share_reference", "reference"),
    ("share_window", "window"),
    ("missing_count", "missing"),
    ("unfit_count", "unfit"),
    ("note", "note"),
)


def report_page(report: Mapping[str, JsonValue], *, whole: bool) -> str:
    """Draw a report.

    Parameters
    ----------
    report
        As ``Report.to_dict`` gives it.
    whole
        Whether to give a whole document, or a fragment for a notebook.

    Returns
    -------
    str
        HTML; every text of the data is escaped.
    """
    violations, features = report["violations"], report["features"]
    assert isinstance(violations, list)
    assert isinstance(features, list)
    rows = report["row_count"]
    assert isinstance(rows, int)
    verdict = "No violations" if report["passed"] else plural(len(violations), "violation")
    if not report["decided"]:
        verdict = "Too few rows to judge"
    parts = [f"<h3>{verdict} in {plural(rows, 'row')}</h3>"]
    if report["cause"]:
        parts.append(f"<p>{escape(str(report['cause']))}</p>")
    if violations:
        parts.append(_table(VIOLATION_COLUMNS, violations))
    parts.append(_table(FEATURE_COLUMNS, features))
    body = f'<style>{STYLE}</style><div class="driftline">{"".join(parts)}</div>'
    if not whole:
        return body
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>driftline: {verdict}</title></head><body>{body}</body></html>\n"
    )


def _table(columns: Sequence[tuple[str, str]], rows: Sequence[JsonValue]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for _, title in columns)
    lines = "".join(
        "<tr>" + "".join(_cell(name, row[name]) for name, _ in columns) + "</tr>"
        for row in rows
        if isinstance(row, dict)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(name: str, value: JsonValue) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    kind = f' class="{escape(str(value))}"' if name == "severity" else ""
    return f"<td{kind}>{escape(str(value))}</td>"
