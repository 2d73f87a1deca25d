"""Commands about alarms: how they stand and why, what people set, and what one would have done."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.files import read_json
from driftline.app.commands.operations import add_operations, text_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, harmless_json

alarm = options.Group(help="See why alarms are in their states, set states, replay alarms.")

Names = Annotated[list[str], typer.Argument(help="Names of alarms, metric or composite.")]
OnlyChanges = Annotated[
    bool, typer.Option("--changes", help="Print only evaluations that change the state.")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Say on each line which rule decided, over what.")
]
_WIDTH, _INDENT = 80, 12
_POINTS_SHOWN = 20


@alarm.command()
def enable(client: Client, names: Names) -> Answer:
    """Switch the actions of alarms on.

    Example: driftline alarm enable "flights drift"
    """
    return _switch(client, names, enabled=True)


@alarm.command()
def disable(client: Client, names: Names) -> Answer:
    """Switch the actions of alarms off; their states go on changing.

    For a time only, a silence is better: it says why and ends by itself.

    Example: driftline alarm disable "flights drift"
    """
    return _switch(client, names, enabled=False)


def _switch(client: Client, names: list[str], *, enabled: bool) -> Answer:
    client.switch_alarm_actions(names, enabled)
    value = {"names": names, "actions_enabled": enabled}
    return Answer(value, [f"{name}: actions {'on' if enabled else 'off'}" for name in names])


@alarm.command()
def replay(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON with the alarm and its data; - reads stdin.")
    ],
    changes: OnlyChanges = False,
    explain: Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate an alarm on given datapoints, one JSON line for each evaluation.

    The same function judges live alarms. FILE holds PutMetricAlarm's fields under "alarm" with
    "datapoints" (or "series" by id for metric math), or PutCompositeAlarm's under "composite" with
    "children", and "start" and "end".

    Example: driftline alarm replay drift.json --changes
    """
    # Imported here: the evaluation needs numpy, the options do not.
    from driftline.alerts.evaluation.replay import replay as evaluations

    document = _read(file, explain=explain)
    _show((line.as_dict() for line in evaluations(document)), only_changes=changes)


@alarm.command()
def preview(
    client: Client,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON with the alarm; - reads stdin.")
    ],
    changes: OnlyChanges = False,
    explain: Explain = False,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate an alarm on what the server has stored, one JSON line for each evaluation.

    FILE is as for "alarm replay", without datapoints: "alarm", "start" and "end". The alarm need
    not be declared, and nothing changes.

    Example: driftline alarm preview drift.json --changes
    """
    _show(client.preview_alarm(_read(file, explain=explain)), only_changes=changes)


def _show(lines: Iterable[Mapping[str, object]], *, only_changes: bool) -> None:
    for line in lines:
        if not only_changes or line["state"] != line["previous"]:
            sys.stdout.write(harmless_json(json.dumps(line, ensure_ascii=False)) + "\n")


def _read(file: str, *, explain: bool) -> dict[str, Any]:
    found = read_json(file)
    return {**found, "explain": True} if explain else found


def explained(found: Mapping[str, Any]) -> Iterator[str]:
    """Write the explanation of an alarm's state in lines of 80 columns."""
    yield f"{found['name']}: {found['state']} since {text_of(found['since'])}"
    yield from _part("because", found["reason"])
    yield from _part("watches", found["condition"])
    if found["marks"]:
        marks = found["marks"][-_POINTS_SHOWN:]
        yield from _part("periods", f"{marks} (old to new; X breaching, 0 good, -)")
    for one in found["points"][-_POINTS_SHOWN:]:
        value = "-" if one["value"] is None else f"{one['value']:.6g}"
        star = "*" if one["is_counted"] else " "
        band = "" if one["lower"] is None else f"  (band {one['lower']:.6g} to {one['upper']:.6g})"
        yield f"{'':{_INDENT}}{star} {text_of(one['start'])}  {one['mark']}  {value}{band}"
    for one in found["children"]:
        yield from _part("", f"{'true ' if one['holds'] else 'false'} {one['condition']}")
        for child in one["alarms"]:
            since = text_of(child["since"])
            yield f"{'':{_INDENT}}      {child['name']}: {child['state']} since {since}"
    yield from _part("decided by", found["decided"])
    yield from _cause(found)
    if (last := found["last_alarm"]) is not None:
        yield from _part("last alarm", f"{text_of(last['since'])} to {text_of(last['until'])}")
        yield from _cause(last)
    yield from _part("next", found["next_evaluation"])
    yield from _part("problem", found["problem"])
    for one in found["findings"]:
        yield from _part("no data", one["problem"])
        yield from _part("fix", one["mend"])
        for other in one["similar"]:
            dimensions = text_of(other["dimensions"])
            yield from _part("similar", f"{other['namespace']} {other['name']} {dimensions}")
    for one in found["actions"]:
        why = f": {one['why']}" if one["why"] else ""
        yield from _part("action", f"{one['channel']} {one['status']}{why}")
    yield from _part("no actions", found["actions_reason"])


def _part(label: str, text: str | None) -> list[str]:
    """Write a labelled sentence, folded behind its label, if there is one."""
    label = f"{label:{_INDENT}}"
    return wrap(
        text or "", _WIDTH, initial_indent=label, subsequent_indent=" " * _INDENT,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _cause(found: Mapping[str, Any]) -> Iterator[str]:
    """Write the cause, its window, and where to look: on one line each, to be copied."""
    yield from _part("cause", found["cause"])
    for key in ("window", "page", "rows"):
        if found[key] is not None:
            yield f"{key:{_INDENT}}{text_of(found[key])}"


def _changed(found: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> Iterator[str]:
    for change in found:
        yield f"{change['alarm_name']}: {change['old']} -> {change['new']}"
    if not found:
        yield f"{asked['name']}: {asked['state_value']} already; only the reason is new"


add_operations(
    alarm, "alarm", {"explain": lambda found, _: explained(found), "set-state": _changed}
)
