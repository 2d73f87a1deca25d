"""What a notebook shows of a baseline or a profile: one row a column, without script or style.

An untrusted notebook strips scripts, style sheets and SVG, so bars are characters and each mark
carries its own style.

References
----------
JupyterLab, packages/apputils/src/sanitizer.ts: the tags, attributes and properties that stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np

from driftline.baseline.shape import narrow, shape_of

if TYPE_CHECKING:
    from driftline.baseline.column import ColumnProfile
    from driftline.baseline.profile import Profile
    from driftline.signature import Signature

BLOCKS = "▁▂▃▄▅▆▇█"
BARS = 12
REPR_WIDTH = 200
BARS_PLACE = 2
# A notebook is for reading; whoever wants all of five thousand columns asks for them.
ROWS_MAX = 200
CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
NUMBER = "padding:2px 12px 2px 0;text-align:right;white-space:nowrap;vertical-align:top"
QUANTILES = (0.05, 0.5, 0.95)
FREQUENT = 3
LEVEL_LENGTH = 24
TRACE = 0.0005
# From here on numbers are written whole; beyond a double's digits with an exponent again.
WHOLE_FROM, WHOLE_BELOW = 1_000, 1e15


def columns_line(what: str, rows: str, names: Collection[str]) -> str:
    """Return one line for a prompt or a log: row count and the first columns."""
    shown = f"{rows}, columns: {len(names)} ({', '.join(names)})"
    return f"<{what} {shorten(shown, REPR_WIDTH, placeholder=' …')}>"


def text_bars(shares: np.ndarray, bars: int, *, ordered: bool) -> str:
    """Draw shares as at most `bars` characters of growing height; "" without any."""
    if not len(shares):
        return ""
    joined = narrow(shares, bars, ordered=ordered)
    most = max(float(joined.max()), 1e-9)
    return "".join(BLOCKS[round(float(one) / most * (len(BLOCKS) - 1))] for one in joined)


def number_words(value: float) -> str:
    """Write a number in four digits, but large ones, which may be ids, in full."""
    if WHOLE_FROM <= abs(value) < WHOLE_BELOW:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def html_table(heads: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of ready HTML cells; a head has a title and whether numbers follow."""
    styles = [NUMBER if is_number else CELL for _, is_number in heads]
    head = "".join(
        f'<th style="{style}">{escape(title)}</th>'
        for (title, _), style in zip(heads, styles, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td style="{style}">{cell}</td>' for cell, style in zip(row, styles, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def profile_html(title: str, profile: Profile | None, signature: Signature | None = None) -> str:
    """Return a profile as a table of its columns."""
    roles: Mapping[str, str] = (
        {} if signature is None else {one.name: one.role for one in signature.columns}
    )
    if profile is None:
        return f"<p><b>{escape(title)}</b> {len(roles):,} columns, constraints alone</p>"
    heads = [("column", False), ("type", False), ("values", False), ("missing", True),
             ("distinct", True), ("5%", True), ("median", True), ("95%", True),
             ("mean", True), ("most frequent", False)]  # fmt: skip
    columns = list(profile.columns.values())
    rows = [_row(one, roles.get(one.name, "feature")) for one in columns[:ROWS_MAX]]
    if not any(row[BARS_PLACE] for row in rows):  # As of a profile that no baseline cut in cells.
        heads.pop(BARS_PLACE)
        rows = [(*row[:BARS_PLACE], *row[BARS_PLACE + 1 :]) for row in rows]
    left = len(columns) - len(rows)
    rest = f"<p>{left:,} more columns</p>" if left > 0 else ""
    count = f"{profile.row_count:,} rows, {len(columns):,} columns"
    return f"<p><b>{escape(title)}</b> {count}</p>{html_table(heads, rows)}{rest}"


def _row(one: ColumnProfile, role: str) -> tuple[str, ...]:
    name = escape(one.name) if role == "feature" else f"{escape(one.name)} <i>{escape(role)}</i>"
    missing = 0.0 if not one.row_count else one.missing_count / one.row_count
    return (
        name,
        one.type,
        _bars(one),
        ("&lt;0.1%" if missing < TRACE else f"{missing:.1%}") if one.missing_count else "",
        _distinct(one),
        *_numbers(one),
        _frequent(one),
    )


def _distinct(one: ColumnProfile) -> str:
    if not one.present_count:
        return ""
    counted = one.type in ("string", "bool") and one.levels.is_exact
    return f"{'' if counted or one.distinct.is_exact else '≈ '}{one.distinct_count:,}"


def _bars(one: ColumnProfile) -> str:
    if one.cells is None or one.cell_counts is None:
        return ""
    shape = shape_of(one.cells, one.cell_counts, one.cell_counts)
    return text_bars(shape[0], BARS, ordered=one.is_number)


def _numbers(one: ColumnProfile) -> tuple[str, ...]:
    """Return quantiles and mean of a column of numbers, "" for others."""
    if not one.is_number or not one.moments.count:
        return ("",) * (len(QUANTILES) + 1)
    found = one.sketch.quantiles(np.asarray(QUANTILES)).tolist()
    return tuple(map(number_words, (*found, one.moments.average)))


def _frequent(one: ColumnProfile) -> str:
    if one.is_number or one.type == "timestamp":
        return ""
    return ", ".join(map(_level, one.frequent(FREQUENT)))


def _level(value: str) -> str:
    """Return a value's beginning; a pointer that rests on it shows the whole."""
    if len(value) <= LEVEL_LENGTH:
        return escape(value)
    return f'<span title="{escape(value)}">{escape(value[: LEVEL_LENGTH - 1])}…</span>'
