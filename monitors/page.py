"""A report as HTML: what is violated, in words and pictures; no script and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from driftline.monitors.pictures import comparison_bars, interval_line, scale_of
from driftline.monitors.violation import JsonValue, plural

if TYPE_CHECKING:
    from driftline.monitors.metric import MetricResult
    from driftline.monitors.report import Report
    from driftline.monitors.violation import Violation

__all__ = ["report_page"]

# Colours that differ for every eye (Okabe and Ito); light-dark() follows the reader's setting.
STYLE = """
.driftline{color-scheme:light dark;font-family:system-ui,sans-serif;font-size:14px;line-height:1.45;
max-width:70em;color:light-dark(#1b1f24,#e6e8eb)}
.driftline h3{margin:1.2em 0 .3em}
.driftline .wide{overflow-x:auto}
.driftline table{border-collapse:collapse;margin:.6em 0 1.2em}
.driftline th,.driftline td{padding:.25em .7em;border-bottom:1px solid #8884;text-align:left}
.driftline td.number{text-align:right;font-variant-numeric:tabular-nums}
.driftline .page{color:light-dark(#a3231b,#ff9d94);font-weight:600}
.driftline .ticket{color:light-dark(#7a5500,#f2c14e);font-weight:600}
.driftline figure{margin:.4em 0 1.2em}
.driftline figcaption,.driftline .quiet{color:light-dark(#57606a,#a0a8b1)}
.driftline svg.bars{width:100%;max-width:600px;height:auto}
.driftline svg.line{width:220px;height:22px;vertical-align:middle}
.driftline svg text{font-size:12px;fill:currentColor}
.driftline svg text.label{text-anchor:end}
.driftline svg .reference{fill:light-dark(#0072b2,#56b4e9);opacity:.55}
.driftline svg .window{fill:#999}
.driftline svg .window.moved{fill:#d55e00}
.driftline svg text.moved{font-weight:600}
.driftline svg .whisker{stroke:currentColor;stroke-width:1.5}
.driftline svg .axis{stroke:#8886}
.driftline svg .bound{stroke:#d55e00;stroke-width:2;stroke-dasharray:3 2}
"""
# Figures in one report; the page stays one that a person reads.
FIGURES_MAX = 12
FEATURE_COLUMNS = (
    ("feature", "feature"),
    ("type", "type"),
    ("distance", "distance"),
    ("bound", "bound"),
    ("ratio", "x bound"),
    ("set", "strongest set"),
    ("share_reference", "reference"),
    ("share_window", "window"),
    ("missing_count", "missing"),
    ("unfit_count", "unfit"),
    ("note", "note"),
)


def report_page(report: Report, *, whole: bool) -> str:
    """Draw a report.

    Parameters
    ----------
    whole
        Whether to give a whole document, or a fragment for a notebook.

    Returns
    -------
    str
        HTML; every text of the data is escaped.
    """
    verdict = "No violations" if report.passed else plural(len(report.violations), "violation")
    if not report.decided:
        verdict = "Too few rows to judge" if report.insufficient else "Could not be judged"
    title = f"{verdict} in {plural(report.row_count, 'row')}"
    parts = [f"<h2>{title}</h2>"]
    if report.window is not None:
        parts.append(f'<p class="quiet">{report.kind} of {escape(str(report.window))}</p>')
    for number, violation in enumerate(report.violations):
        parts.append(_violation(violation))
        comparison = report.comparison(violation.feature_name)
        # Two violations of one feature share its picture.
        is_first = violation.feature_name not in {
            one.feature_name for one in report.violations[:number]
        }
        if comparison is not None and is_first and number < FIGURES_MAX:
            parts.append(
                f"<figure>{comparison_bars(comparison)}<figcaption>Share of rows: reference "
                f"({plural(comparison.reference_rows, 'row')}) above, now "
                f"({plural(comparison.window_rows, 'row')}) below.</figcaption></figure>"
            )
    if report.metrics:
        parts.append(_metrics(report.metrics))
    if report.results:
        parts += ["<h3>All features</h3>", _table(FEATURE_COLUMNS, _features(report))]
    body = f'<style>{STYLE}</style><div class="driftline">{"".join(parts)}</div>'
    if not whole:
        return body
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>driftline: {verdict}</title></head><body>{body}</body></html>\n"
    )


def _violation(violation: Violation) -> str:
    """Tell one violation: how loud, of what, what happened, and where the rows are."""
    lines = [
        f'<h3><span class="{violation.severity}">{violation.severity}</span> '
        f"{escape(violation.feature_name)}</h3>",
        f"<p>{escape(violation.cause or violation.description)}</p>",
    ]
    quiet = [escape(violation.constraint_check_type)]
    if violation.row_count:
        quiet.append(f"{plural(violation.row_count, 'row')} behind it")
    if violation.segment is not None:
        quiet.append(escape(str(violation.segment)))
    if violation.share_of_blame:
        quiet.append(f"{violation.share_of_blame:.0%} of the blame")
    lines.append(f'<p class="quiet">{"; ".join(quiet)}</p>')
    return "".join(lines)


def _metrics(metrics: Sequence[MetricResult]) -> str:
    """Draw every metric as a line: its interval, the reference's band, the bound."""
    groups = groupby(metrics, key=lambda one: (one.facet, one.facet_value, one.label))
    tables = []
    for (facet, value, label), found in groups:
        lines = list(found)
        named = " = ".join(part for part in (facet, value) if part) or label
        head = f"<h3>{escape(named) if named else 'Metrics'}</h3>"
        rows = "".join(_metric(one) for one in lines)
        tables.append(
            f'{head}<div class="wide"><table><thead><tr><th>metric</th><th>now</th>'
            "<th>95 % interval</th><th>reference</th><th>bound</th><th></th><th>note</th></tr>"
            f"</thead><tbody>{rows}</tbody></table></div>"
        )
    return (
        '<p class="quiet">Lines: the reference as a band, now as a dot with its 95 % interval, '
        "where a violation begins as a dashed line.</p>" + "".join(tables)
    )


def _metric(one: MetricResult) -> str:
    interval = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
    name = escape(one.name)
    if one.severity is not None:
        name = f'<span class="{one.severity}">{name}</span>'
    cells = [_number(one.value), f'<td class="number">{interval}</td>', _number(one.reference),
             _number(one.bound), f"<td>{interval_line(one, scale_of([one]))}</td>",
             f"<td>{escape(one.note)}</td>"]  # fmt: skip
    return f"<tr><td>{name}</td>{''.join(cells)}</tr>"


def _number(value: float | None) -> str:
    return f'<td class="number">{"" if value is None else f"{value:.4g}"}</td>'


def _features(report: Report) -> Sequence[Mapping[str, JsonValue]]:
    found = report.to_dict()["features"]
    assert isinstance(found, list)
    return [row for row in found if isinstance(row, dict)]


def _table(columns: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, JsonValue]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for _, title in columns)
    lines = "".join(
        "<tr>" + "".join(_cell(row[name]) for name, _ in columns) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
        "</div>"
    )


def _cell(value: JsonValue) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"
