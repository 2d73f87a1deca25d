"""A backtest as lines of text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from driftline.app.commands.output import harmless
from driftline.monitors.backtest.page import describe_events, unjudged_windows
from driftline.monitors.backtest.timeline import alarm_flags, is_judged, legend, strip
from driftline.monitors.results.violation import plural, rounded

_WIDTH = 80
_NAME = 19
_PLACES = _WIDTH - _NAME
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
    unjudged = unjudged_windows(found)
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
    lines += ["", *_rules(found["rules"])]
    lines += ["", *_timelines(found, plain=plain)]
    lines += ["", *_alarms(windows)]
    if not found["reference_dated"]:
        lines += textwrap.wrap(_UNDATED_REFERENCE, _WIDTH)
    lines += _calm(found)
    lines += _marks(found["marks"])
    return [harmless(line) for line in lines]


def _rules(rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"{'rule':<{_NAME}}{'windows':>8}{'episodes':>10}{'a year':>10}  95% interval"
    for rule in rules:
        rate = rule["rate"]
        if rate is None:
            yield f"{rule['name']:<{_NAME}}{'none judged':>20}"
            continue
        interval = f"{rounded(rate['per_year_low'], 3)} to {rounded(rate['per_year_high'], 3)}"
        yield (
            f"{rule['name']:<{_NAME}}{rate['count']:>8,}{rule['episode_count']:>10,}"
            f"{rounded(rate['per_year'], 3):>10}  {interval}"
        )


def _timelines(found: Mapping[str, Any], *, plain: bool) -> Iterator[str]:
    for rule, flags in zip(found["rules"], alarm_flags(found), strict=True):
        yield f"{rule['name']:<{_NAME}}{strip(flags, _PLACES, plain=plain)}"
        often = list(rule["columns"].items())
        if often:
            names = ", ".join(f"{name} {count:,}" for name, count in often[:_OFTEN_SHOWN])
            more = f", {len(often) - _OFTEN_SHOWN} more" if len(often) > _OFTEN_SHOWN else ""
            yield from textwrap.wrap(
                harmless(names) + more,
                _WIDTH,
                initial_indent=" " * _NAME,
                subsequent_indent=" " * _NAME,
                break_on_hyphens=False,
            )
    yield legend(next(alarm_flags(found)), _PLACES, plain=plain)


def _alarms(windows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    loud = [one for one in windows if one["alarms"]]
    if not any(map(is_judged, windows)):
        is_small = all(one["state"] == "insufficient_data" for one in windows)
        yield from textwrap.wrap(_TOO_SMALL if is_small else _UNDECIDABLE, _WIDTH)
        return
    if not loud:
        yield "no window would have alarmed"
        return
    yield f"{plural(len(loud), 'window')} would have alarmed:"
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
        yield f"… and {len(loud) - _ALARMS_SHOWN:,} more: --json or -o page.html"


def _calm(found: Mapping[str, Any]) -> Iterator[str]:
    """Describe how many false alarms to expect: by the budget, and on the reference itself."""
    yield ""
    text = f"false alarms: {found['false_alarms_per_year']:g} a year accepted"
    if (rate := found["resampled"]) is not None:
        text += (
            f"; on the reference's own days, drawn anew for {rounded(rate['years'], 2)} years, "
            f"{rate['count']:,} ({rounded(rate['per_year_low'], 2)} to "
            f"{rounded(rate['per_year_high'], 2)} a year)"
        )
    yield from textwrap.wrap(text, _WIDTH, subsequent_indent="  ")


def _marks(marks: Mapping[str, int] | None) -> Iterator[str]:
    if marks is not None:
        yield from textwrap.wrap(f"marks: {describe_events(marks)}", _WIDTH, subsequent_indent="  ")
