"""A backtest as lines of text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from driftline.app.commands.output import harmless
from driftline.monitors.backtest.timeline import alarm_flags, is_judged, legend, strip
from driftline.monitors.results.violation import plural

_WIDTH = 80
_ALARMS_SHOWN = 20
_OFTEN_SHOWN = 5
_UNDECIDABLE = (
    "no window could be judged: the columns vary too much from window to window; driftline check "
    "of one of them says what would help each"
)
_TOO_SMALL = (
    "no window could be judged: too few rows, also with those before it; expected 30 rows with a "
    "time, such as by a longer --window"
)
_UNDATED_REFERENCE = (
    "the reference has no times, so nobody knows how much its windows vary: drift may be told of "
    "what is usual; make the baseline with --timestamp"
)


def told(found: Mapping[str, Any], *, plain: bool = False) -> list[str]:
    """Write what `Backtest.as_dict` gives; ``plain`` where only ASCII can be shown."""
    windows = found["windows"]
    first, last = windows[0]["start"][:10], windows[-1]["end"][:10]
    unjudged = _unjudged_windows(found)
    lines = textwrap.wrap(
        f"{found['monitor']}{': ' * bool(found['monitor'])}{plural(len(windows), 'window')} of "
        f"{found['window']} from {first} to {last}, {plural(len(found['columns']), 'column')}"
        + f"{'; ' * bool(unjudged)}{unjudged}"
        + (f"; {found['undated_count']:,} rows without a time" if found["undated_count"] else ""),
        _WIDTH,
    )
    if found["unjudged"]:
        names = harmless(", ".join(found["unjudged"]))
        lines += textwrap.wrap(
            f"in no window judged, as they vary too much or have too few rows: {names}",
            _WIDTH,
            break_on_hyphens=False,
        )
    lines += ["", *_timeline(found, plain=plain)]
    lines += ["", *_alarms(found)]
    if not found["reference_dated"]:
        lines += textwrap.wrap(_UNDATED_REFERENCE, _WIDTH)
    lines += ["", f"false alarms: {found['false_alarms_per_year']:g} a year accepted"]
    return [harmless(line) for line in lines]


def _timeline(found: Mapping[str, Any], *, plain: bool) -> Iterator[str]:
    flags = alarm_flags(found)
    yield strip(flags, _WIDTH, plain=plain)
    by_column = list(found["alarms_by_column"].items())
    if by_column:
        names = ", ".join(f"{name} {count:,}" for name, count in by_column[:_OFTEN_SHOWN])
        more = len(by_column) - _OFTEN_SHOWN
        names = harmless(names) + (f", {more} more" if more > 0 else "")
        yield from textwrap.wrap(names, _WIDTH, break_on_hyphens=False)
    yield legend(flags, _WIDTH, plain=plain)


def _alarms(found: Mapping[str, Any]) -> Iterator[str]:
    windows = found["windows"]
    loud = [one for one in windows if one["alarms"]]
    if not any(map(is_judged, windows)):
        is_small = all(one["state"] == "insufficient_data" for one in windows)
        yield from textwrap.wrap(_TOO_SMALL if is_small else _UNDECIDABLE, _WIDTH)
        return
    if not loud:
        yield "no window would have alarmed"
        return
    episodes = plural(found["episode_count"], "episode")
    yield f"{plural(len(loud), 'window')} would have alarmed, in {episodes}:"
    for one in loud[:_ALARMS_SHOWN]:
        more = len(one["alarms"]) - 1
        cause = one["alarms"][0]["cause"] + (f"; and {plural(more, 'column')} more" if more else "")
        yield from textwrap.wrap(
            f"{one['start'][:16].replace('T', ' ')}  {harmless(cause)}",
            _WIDTH,
            subsequent_indent=" " * 18,
            break_on_hyphens=False,
        )
    if len(loud) > _ALARMS_SHOWN:
        yield f"… and {len(loud) - _ALARMS_SHOWN:,} more: --json"


def _unjudged_windows(found: Mapping[str, Any]) -> str:
    """Count the windows that could not be judged, by reason; empty if there are none."""
    counts = {
        "with too few rows to judge": found["insufficient_count"],
        "of which every column varies too much to judge": found["undecidable_count"],
    }
    return ", ".join(f"{plural(count, 'window')} {why}" for why, count in counts.items() if count)
