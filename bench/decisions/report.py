"""The tables of false alarms, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from scipy import stats

from bench.decisions.changes import BASES, HARD_BASES
from bench.decisions.columns import KINDS
from bench.decisions.study import Calm

__all__ = ["calm_tables", "poisson_limit", "table", "years_of"]

Rows = list[list[str]]


def poisson_limit(alarms: int, years: float, *, confidence: float = 0.95) -> float:
    """Return the upper limit of a yearly rate: alarms are counted, years known."""
    return float(stats.chi2.ppf(confidence, 2 * alarms + 2)) / 2 / years


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def years_of(calm: Sequence[Calm]) -> float:
    """Add up the monitor-years."""
    return sum(one.monitor.years for one in calm)


def _rate(calm: Sequence[Calm]) -> list[str]:
    """Return years, alarms, alarms a year and their upper limit."""
    years, alarms = years_of(calm), sum(one.alarms for one in calm)
    return [
        f"{years:.1f}",
        str(alarms),
        f"{alarms / years:.2f}",
        f"{poisson_limit(alarms, years):.2f}",
    ]


def _grouped(calm: Sequence[Calm], key: Callable[[Calm], str]) -> list[tuple[str, list[Calm]]]:
    groups: dict[str, list[Calm]] = {}
    for one in calm:
        groups.setdefault(key(one), []).append(one)
    return list(groups.items())


def calm_tables(calm: Sequence[Calm]) -> str:
    """Show the false alarms by kind, by shape of the monitor, and who alarmed."""
    head = ["years", "alarms", "a year", "95% limit"]
    words = {name: kind.words for name, kind in KINDS.items()}
    words |= {f"base {name}": f"base: {base[2]}" for name, base in {**BASES, **HARD_BASES}.items()}
    kinds = [
        [words[name], *_rate(group), *_by_cadence(group)]
        for name, group in _grouped(calm, lambda one: one.kind)
    ]
    whole = ["all", *_rate(calm), *_by_cadence(calm)]
    shapes = [
        [what, *_rate(group)]
        for key in (_cadence, _width, _size, _reference)
        for what, group in _grouped(sorted(calm, key=_order), key)
    ]
    loud = [
        f"{one.kind}, {one.monitor.words}, seed {one.seed}: "
        + ", ".join(f"{name} {count}" for name, count in one.columns.items())
        for one in calm
        if one.alarms
    ]
    return "\n".join(
        [
            "### By kind\n",
            table(["stream", *head, "hourly", "daily"], [*kinds, whole]),
            "Hourly, daily: alarms in monitor-years.\n",
            "### By the monitor's shape\n",
            table(["monitors", *head], shapes),
            "### Each run that alarmed\n",
            "\n".join(f"- {line}" for line in loud) or "None.",
            "",
        ]
    )


def _by_cadence(calm: Sequence[Calm]) -> list[str]:
    found = []
    for length_h in (1, 24):
        part = [one for one in calm if one.monitor.length_h == length_h]
        found.append(f"{sum(one.alarms for one in part)} in {years_of(part):.1f}")
    return found


def _order(one: Calm) -> tuple[int, int, int]:
    return one.monitor.columns, one.monitor.window_rows, one.monitor.reference_days


def _cadence(one: Calm) -> str:
    return "hourly" if one.monitor.length_h == 1 else "daily"


def _width(one: Calm) -> str:
    return f"{one.monitor.columns} columns"


def _size(one: Calm) -> str:
    return f"{one.monitor.window_rows:,} rows a window"


def _reference(one: Calm) -> str:
    return f"reference of {one.monitor.reference_days} days"
