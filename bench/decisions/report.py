"""The study's tables, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from scipy import stats

from bench.decisions.changes import BASES, CHANGES
from bench.decisions.columns import KINDS
from bench.decisions.peers import PEERS
from bench.decisions.study import Calm, Found, windows_to_find

__all__ = ["calm_tables", "delay_tables", "found_tables", "poisson_limit", "summary"]

Rows = list[list[str]]


def poisson_limit(alarms: int, years: float, *, confidence: float = 0.95) -> float:
    """Give the upper limit of a yearly rate: alarms are counted, years known."""
    return float(stats.chi2.ppf(confidence, 2 * alarms + 2)) / 2 / years


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _years(calm: Sequence[Calm]) -> float:
    return sum(one.monitor.years for one in calm)


def _rate(calm: Sequence[Calm]) -> list[str]:
    """Give years, alarms, alarms a year and their upper limit."""
    years, alarms = _years(calm), sum(one.alarms for one in calm)
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
    head = ["years", "alarms", "a year", "95 % limit"]
    words = {name: kind.words for name, kind in KINDS.items()}
    words |= {f"base {name}": base[2] for name, base in BASES.items()}
    kinds = [
        [words[name], *_rate(group), *_peers(group)]
        for name, group in _grouped(calm, lambda one: one.kind)
    ]
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
            table(["stream", *head, *PEERS], [*kinds, ["all", *_rate(calm), *_peers(calm)]]),
            "The last columns are the alarms a year of the default rules of others.\n",
            "### By the monitor's shape\n",
            table(["monitors", *head], shapes),
            "### Each run that alarmed\n",
            "\n".join(f"- {line}" for line in loud) or "None.",
            "",
        ]
    )


def _peers(calm: Sequence[Calm]) -> list[str]:
    years = _years(calm)
    return [f"{sum(one.peers[name] for one in calm) / years:,.1f}" for name in PEERS]


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


def found_tables(found: Sequence[Found]) -> str:
    """Show which changes were found, and after how many windows."""
    monitors = list(dict.fromkeys(one.monitor for one in found))
    rows: Rows = []
    for name, change in CHANGES.items():
        line = [change.words]
        for monitor in monitors:
            group = [one for one in found if one.change == name and one.monitor == monitor]
            line.append(_found_cell(group))
        rows.append(line)
    bases: Rows = []
    for name, (_, _, words) in BASES.items():
        line = [words]
        for monitor in monitors:
            group = [one for one in found if one.base == name and one.monitor == monitor]
            line.append(_found_cell(group))
        bases.append(line)
    missed = [
        f"{one.change} on {one.base}, {one.monitor.words}, seed {one.seed}"
        for one in found
        if one.delay is None
    ]
    head = [monitor.words for monitor in monitors]
    return "\n".join(
        [
            table(["change", *head], rows),
            table(["base", *head], bases),
            "Each cell: found of simulated; geometric mean of the delay in windows (missed ones "
            "left out); the longest.\n",
            "Missed: " + ("; ".join(missed) or "none") + ".\n",
        ]
    )


def _found_cell(group: Sequence[Found]) -> str:
    delays = [one.delay for one in group if one.delay is not None]
    if not group:
        return "-"
    if not delays:
        return f"0/{len(group)}"
    return f"{len(delays)}/{len(group)}; {_mean(delays):.1f}; {max(delays)}"


def _mean(delays: Sequence[float]) -> float:
    return math.exp(math.fsum(math.log(one) for one in delays) / len(delays))


def _delays(found: Sequence[Found], name: str | None) -> float:
    """Give the geometric mean delay; a change that is not found counts as found at the end."""
    return _mean(
        [
            (one.delay if name is None else one.rivals[name]) or windows_to_find(one.monitor)
            for one in found
        ]
    )


def _shares(found: Sequence[Found], name: str | None) -> float:
    hits = [one.delay if name is None else one.rivals[name] for one in found]
    return sum(one is not None for one in hits) / len(hits)


def delay_tables(found: Sequence[Found]) -> str:
    """Lay our delay beside the other detectors', at as many false alarms."""
    compared = [one for one in found if one.rivals]
    names = list(compared[0].rivals)
    ours = _delays(compared, None)
    ranked = sorted(names, key=lambda name: _delays(compared, name))
    rows = [["driftline", f"{_shares(compared, None):.3f}", f"{ours:.2f}", "1.00"]]
    for name in ranked:
        theirs = _delays(compared, name)
        rows.append(
            [name, f"{_shares(compared, name):.3f}", f"{theirs:.2f}", f"{ours / theirs:.2f}"]
        )
    kinds: Rows = []
    for name, change in CHANGES.items():
        group = [one for one in compared if one.change == name]
        best = min(names, key=lambda rival: _delays(group, rival))
        mine, least = _delays(group, None), _delays(group, best)
        general = _delays(group, ranked[0])
        kinds.append(
            [
                change.words,
                f"{mine:.2f}",
                f"{general:.2f}",
                f"{mine / general:.2f}",
                best,
                f"{least:.2f}",
                f"{mine / least:.2f}",
            ]
        )
    head = ["change", "ours", f"best of all ({ranked[0]})", "ratio", "best for this change"]
    return "\n".join(
        [
            table(["detector", "found", "mean delay, windows", "ours / theirs"], rows),
            table([*head, "its delay", "ratio"], kinds),
        ]
    )


def summary(calm: Sequence[Calm], found: Sequence[Found]) -> str:
    """Say in lines whether the bounds hold."""
    years, alarms = _years(calm), sum(one.alarms for one in calm)
    limit = poisson_limit(alarms, years)
    kinds = {
        name: sum(one.alarms for one in group) / _years(group)
        for name, group in _grouped(calm, lambda one: one.kind)
    }
    loudest = max(kinds, key=lambda name: kinds[name])
    share = _shares(found, None)
    lines = [
        f"{alarms} false alarms in {years:.0f} monitor-years: {alarms / years:.3f} a year, 95 % "
        f"upper limit {limit:.3f} (bound 1: {_verdict(limit < 1)})",
        f"loudest kind: {loudest}, {kinds[loudest]:.2f} a year (bound 3: "
        f"{_verdict(kinds[loudest] <= 3)})",
        f"{share:.3f} of {len(found)} changes found within 14 days (bound 0.95: "
        f"{_verdict(share >= 0.95)})",
    ]
    compared = [one for one in found if one.rivals]
    if compared:
        best = min(compared[0].rivals, key=lambda name: _delays(compared, name))
        ratio = _delays(compared, None) / _delays(compared, best)
        lines.append(
            f"delay {ratio:.2f} times that of the best other detector, {best} (bound 1.5: "
            f"{_verdict(ratio <= 1.5)})"
        )
    return "\n".join(f"- {line}." for line in lines) + "\n"


def _verdict(holds: bool) -> str:
    return "held" if holds else "missed"
