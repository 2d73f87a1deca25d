"""The tables of what was found, how late, and whether the bounds hold, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from bench.decisions.changes import BASES, FIND_DAYS, HARD_BASES
from bench.decisions.joint import RIVALS as PAIR_RIVALS
from bench.decisions.joint import Joint
from bench.decisions.monitors import Monitor
from bench.decisions.mutations import CHANGES, SMALL_CHANGES
from bench.decisions.report import poisson_limit, table, years_of
from bench.decisions.study import Calm, Found, Limits

__all__ = ["delay_tables", "found_tables", "joint_table", "summary"]

Rows = list[list[str]]
Delays = Sequence[tuple[int | None, Monitor]]


def found_tables(found: Sequence[Found]) -> str:
    """Show which changes were found, and after how many windows."""
    monitors = list(dict.fromkeys(one.monitor for one in found))
    changes = {name: one.words for name, one in {**CHANGES, **SMALL_CHANGES}.items()}
    bases = {name: one[2] for name, one in {**BASES, **HARD_BASES}.items()}
    by_change = _crossed(found, monitors, changes, lambda one: one.change)
    by_base = _crossed(found, monitors, bases, lambda one: one.base)
    missed = [
        f"{one.change} on {one.base}, {one.monitor.words}, seed {one.seed}"
        for one in found
        if one.delay is None
    ]
    head = [monitor.words for monitor in monitors]
    return "\n".join(
        [
            table(["change", *head], by_change),
            table(["base", *head], by_base),
            "Each cell: found of simulated; geometric mean of the delay in windows (missed ones "
            "left out); the longest.\n",
            "Missed: " + ("; ".join(missed) or "none") + ".\n",
        ]
    )


def _crossed(
    found: Sequence[Found],
    monitors: Sequence[Monitor],
    names: Mapping[str, str],
    key: Callable[[Found], str],
) -> Rows:
    rows: Rows = []
    for name, words in names.items():
        mine = [one for one in found if key(one) == name]
        if mine:
            cells = [_cell([one for one in mine if one.monitor == monitor]) for monitor in monitors]
            rows.append([words, *cells])
    return rows


def _cell(group: Sequence[Found | Joint]) -> str:
    delays = [one.delay for one in group if one.delay is not None]
    if not delays:
        return f"0/{len(group)}"
    return f"{len(delays)}/{len(group)}; {_mean(delays):.1f}; {max(delays)}"


def _mean(delays: Sequence[float]) -> float:
    """Geometric mean."""
    return math.exp(math.fsum(math.log(one) for one in delays) / len(delays))


def _delay(delays: Delays) -> float:
    """Return the mean delay; what is not found counts as found at the end."""
    return _mean([one or FIND_DAYS * 24 // monitor.length_h for one, monitor in delays])


def _share(delays: Delays) -> float:
    return sum(one is not None for one, _ in delays) / len(delays)


def _ours(found: Sequence[Found]) -> Delays:
    return [(one.delay, one.monitor) for one in found]


def _theirs(found: Sequence[Found], rival: str) -> Delays:
    return [(one.rivals[rival], one.monitor) for one in found]


def _best(found: Sequence[Found]) -> str:
    """Name the detector with the least delay."""
    return min(found[0].rivals, key=lambda rival: _delay(_theirs(found, rival)))


def delay_tables(found: Sequence[Found], limits: Sequence[Limits]) -> str:
    """Lay our delay beside the other detectors', at as many false alarms."""
    ours, best = _delay(_ours(found)), _best(found)
    years = sum(one.checked.monitor.years for one in limits)
    alarms = sum(one.checked.alarms for one in limits)
    rows = [["driftline", f"{_share(_ours(found)):.3f}", f"{ours:.2f}", "1.00"]]
    rows[0].append(f"{alarms / years:.2f}")
    ranked = sorted(found[0].rivals, key=lambda rival: _delay(_theirs(found, rival)))
    for rival in ranked:
        theirs = _theirs(found, rival)
        late = _delay(theirs)
        begun = sum(one.checked_rivals[rival] for one in limits)
        line = [rival, f"{_share(theirs):.3f}", f"{late:.2f}", f"{ours / late:.2f}"]
        rows.append([*line, f"{begun / years:.2f}"])
    kinds: Rows = []
    for name, change in CHANGES.items():
        group = [one for one in found if one.change == name]
        told = _best(group)
        mine, least = _delay(_ours(group)), _delay(_theirs(group, told))
        general = _delay(_theirs(group, best))
        line = [change.words, f"{mine:.2f}", f"{general:.2f}", f"{mine / general:.2f}"]
        kinds.append([*line, told, f"{least:.2f}", f"{mine / least:.2f}"])
    head = ["change", "ours", f"best of all ({best})", "ratio", "best for this change"]
    columns = ["detector", "found", "mean delay, windows", "ours / theirs", "false alarms a year"]
    return "\n".join([table(columns, rows), table([*head, "its delay", "ratio"], kinds)])


def joint_table(joint: Sequence[Joint]) -> str:
    """Show how a change of correlation only was found."""
    monitors = list(dict.fromkeys(one.monitor for one in joint))
    rows: Rows = []
    for monitor in monitors:
        group = [one for one in joint if one.monitor == monitor]
        late = [
            _delay([(one.rivals[place], monitor) for one in group])
            for place in range(len(PAIR_RIVALS))
        ]
        line = [monitor.words, _cell(group), *(f"{one:.1f}" for one in late)]
        windows = sum(one.calm_windows for one in group)
        rows.append([*line, f"{sum(one.alarms for one in group)} in {windows}"])
    return table(["monitor", "found", *PAIR_RIVALS, "false alarms in windows"], rows)


def summary(calm: Sequence[Calm], found: Sequence[Found], joint: Sequence[Joint]) -> str:
    """Return lines that say whether the bounds hold."""
    years, alarms = years_of(calm), sum(one.alarms for one in calm)
    limit = poisson_limit(alarms, years)
    kinds = {name: _rate(calm, name) for name in dict.fromkeys(one.kind for one in calm)}
    loudest = max(kinds, key=lambda name: kinds[name])
    share, best = _share(_ours(found)), _best(found)
    ratio = _delay(_ours(found)) / _delay(_theirs(found, best))
    told = [[one for one in found if one.change == name] for name in CHANGES]
    ratios = [_delay(_ours(one)) / _delay(_theirs(one, _best(one))) for one in told]
    named = sum(one.delay is not None for one in joint)
    lines = [
        f"{alarms} false alarms in {years:.0f} monitor-years: {alarms / years:.3f} a year, 95% "
        f"upper limit {limit:.3f} (bound 1: {_verdict(limit < 1)})",
        f"loudest kind: {loudest}, {kinds[loudest]:.2f} a year (bound 3: "
        f"{_verdict(kinds[loudest] <= 3)})",
        f"{share:.3f} of {len(found)} changes of one column found within {FIND_DAYS} days (bound "
        f"0.95: {_verdict(share >= 0.95)})",
        f"{named} of {len(joint)} changes of a correlation only found within {FIND_DAYS} days "
        f"(bound 0.95: {_verdict(named >= 0.95 * len(joint))})",
        f"delay {ratio:.2f} times that of the best other detector, {best} (bound 1.5: "
        f"{_verdict(ratio <= 1.5)})",
        f"delay {_mean(ratios):.2f} times that of the best detector for each change, which is told "
        f"what to look for; {sum(one <= 1.5 for one in ratios)} of {len(ratios)} changes are "
        f"within 1.5, the worst is {max(ratios):.2f} (the bound, read so: "
        f"{_verdict(max(ratios) <= 1.5)})",
    ]
    return "\n".join(f"- {line}." for line in lines) + "\n"


def _rate(calm: Sequence[Calm], kind: str) -> float:
    mine = [one for one in calm if one.kind == kind]
    return sum(one.alarms for one in mine) / years_of(mine)


def _verdict(holds: bool) -> str:
    return "held" if holds else "missed"
