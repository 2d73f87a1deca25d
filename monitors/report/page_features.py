"""The table of features on a report's page: its first rows as HTML, all of it for the script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.pictures import name_html, shape_line
from driftline.monitors.report.ranking import ranked_results, state_of
from driftline.monitors.results.violation import FeatureResult, JsonValue, percent, plural

if TYPE_CHECKING:
    from driftline.monitors.report.report import Report

# Rows that are there without the script.
ROWS_MAX = 100
# Digits of a share for the script: a hundred-thousandth is no bar that could be seen.
DIGITS = 5
# Title, class of the cells, and whether the script may sort by it.
COLUMNS = (
    ("feature", "", True),
    ("type", "less", True),
    ("then and now", "", False),
    ("x bound", "number", True),
    ("strongest set", "set", False),
    ("reference", "number less", True),
    ("now", "number", True),
    ("missing", "number less", True),
    ("unfit", "number less", True),
    ("note", "less", True),
)
STATES = {"violated": "Violated", "kept": "Kept", "unjudged": "Not judged"}


@dataclass(frozen=True, slots=True)
class FeatureList:
    """Every feature of a report, what matters first.

    Parameters
    ----------
    rows
        One HTML row for each.
    states
        How each fared: see `state_of`.
    keys
        What the script sorts by: one list for each sortable column, as long as `rows`.
    pictures
        By feature: the place of its bars among `drawings`.
    drawings
        The bars of every feature that has some, for the script.
    """

    rows: tuple[str, ...]
    states: tuple[str, ...]
    keys: tuple[list[JsonValue], ...]
    pictures: Mapping[str, int]
    drawings: tuple[JsonValue, ...]

    @classmethod
    def of(cls, report: Report) -> FeatureList:
        """Gather the features of a report."""
        results = ranked_results(report)
        broken = frozenset(one.feature_name for one in report.violations)
        pictures: dict[str, int] = {}
        drawings: list[JsonValue] = []
        rows = []
        for number, one in enumerate(results):
            found = report.comparison(one.feature)
            if found is not None:
                pictures[one.feature] = len(drawings)
                drawings.append(_drawing(found))
            rows.append(_row(one, found, number, is_broken=one.feature in broken))
        keys = zip(*(_keys(one) for one in results), strict=True)
        return cls(
            tuple(rows),
            tuple(state_of(one, broken) for one in results),
            tuple(list(column) for column in keys),
            pictures,
            tuple(drawings),
        )

    @property
    def data(self) -> str:
        """What the script reads, as JSON that can stand inside HTML."""
        value = {
            "rows": self.rows[ROWS_MAX:],
            "states": self.states,
            "keys": self.keys,
            "drawn": self._drawn(),
            "pictures": self.drawings,
        }
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")  # No text of the data can end the element.

    def _drawn(self) -> list[int | None]:
        names = self.keys[0] if self.keys else []
        return [self.pictures.get(str(name)) for name in names]


def features_section(features: FeatureList) -> str:
    """Draw the table: the rows that are there without the script, and the script's controls."""
    if not features.rows:
        return ""
    heads, sortable = [], 0
    for title, kind, sorts in COLUMNS:
        named = f' class="{kind}"' if kind else ""
        key = f' data-key="{sortable}"' if sorts else ""
        sortable += sorts
        heads.append(f"<th{named}{key}>{title}</th>")
    left = len(features.rows) - ROWS_MAX
    rest = f"<noscript>{plural(left, 'more feature')} with scripts, or in report.json.</noscript>"
    return (
        f"<h2>All features</h2>{_controls(features)}"
        f'<div class="wide"><table class="list" id="feature-table"><thead><tr>{"".join(heads)}'
        f"</tr></thead><tbody>{''.join(features.rows[:ROWS_MAX])}</tbody></table></div>"
        f'<div id="end">{rest if left > 0 else ""}</div>'
        '<p class="quiet">Violated first, then those nearest to their bound. Small pictures: the '
        "reference as ground, now as a line, each from its first to its last hundredth.</p>"
    )


def _controls(features: FeatureList) -> str:
    """Make what the script shows and works with: a search, and one button for each state."""
    buttons = [("all", "All", len(features.rows))]
    buttons += [(key, title, features.states.count(key)) for key, title in STATES.items()]
    shown = "".join(
        f'<button type="button" data-state="{key}" aria-pressed="{str(key == "all").lower()}">'
        f"{title} {count:,}</button>"
        for key, title, count in buttons
        if count
    )
    return (
        '<div class="controls" id="controls" hidden><input type="search" '
        f'placeholder="Find a feature" aria-label="Find a feature">{shown}'
        '<span class="quiet" id="shown" role="status"></span></div>'
    )


def _row(one: FeatureResult, found: Comparison | None, number: int, *, is_broken: bool) -> str:
    cells = (
        escape(one.type),
        "" if found is None else shape_line(found.shape, moved=is_broken),
        "" if one.ratio is None else f"{one.ratio:.2f}",
        escape("; ".join(filter(None, (one.set, one.change)))),
        "" if one.share_reference is None else percent(one.share_reference),
        "" if one.share_window is None else percent(one.share_window),
        _count(one.missing_count, one.row_count),
        _count(one.unfit_count, one.row_count),
        escape(one.note.replace("_", " ")),
    )
    told = "".join(
        f'<td class="{kind}">{cell}</td>' if kind else f"<td>{cell}</td>"
        for (_, kind, _), cell in zip(COLUMNS[1:], cells, strict=True)
    )
    state = ' class="broken"' if is_broken else ""
    return (
        f'<tr{state} data-row="{number}"><th scope="row">{name_html(one.feature)}</th>{told}</tr>'
    )


def _count(count: int, rows: int) -> str:
    return percent(count / max(1, rows)) if count else ""


def _keys(one: FeatureResult) -> Sequence[JsonValue]:
    """Give what a row is sorted by, in the order of the sortable columns."""
    rows = max(1, one.row_count)
    return (
        one.feature,
        one.type,
        _rounded(one.ratio),
        _rounded(one.share_reference),
        _rounded(one.share_window),
        _rounded(one.missing_count / rows),
        _rounded(one.unfit_count / rows),
        one.note,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _drawing(found: Comparison) -> JsonValue:
    """Give one column's bars as plain values; the script finds the intervals itself."""
    return {
        "labels": list(found.labels),
        "then": _shares(found.reference),
        "now": _shares(found.window),
        "moved": [int(place) for place in np.flatnonzero(found.moved)],
        "rows": [found.reference_rows, found.window_rows],
        "ordered": found.ordered,
    }


def _shares(shares: np.ndarray) -> list[JsonValue]:
    return [round(float(share), DIGITS) for share in shares]
