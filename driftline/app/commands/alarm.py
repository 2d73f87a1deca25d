"""Commands about alarms: how they stand and why, what people set, and what one would have done."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from driftline.app.commands import options
from driftline.app.commands.files import read_document
from driftline.app.commands.operations import add_operations, lines_of, text_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table, harmless_json

alarm = options.Group(help="See why alarms are in their states, set states, replay alarms.")

Names = Annotated[list[str], "Names of alarms, metric or composite."]
_POINTS_SHOWN = 20
# The sentences of an explanation, by what each says; the first and the last ones.
_STATE = {"because": "reason", "watches": "condition", "periods": "marks"}
_CAUSE = {"cause": "cause", "window": "window", "page": "page", "rows": "rows"}
_NEXT = {"next": "next_evaluation", "problem": "problem", "no actions": "actions_reason"}


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
    return Answer(value, lines_of(value))


@alarm.command()
def replay(
    file: Annotated[str, "FILE", "JSON with the alarm and its data; - reads stdin."],
    changes: Annotated[bool, "--changes", "Print only evaluations that change the state."] = False,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate an alarm on given datapoints, one JSON line for each evaluation.

    The same function judges live alarms. FILE holds PutMetricAlarm's fields under "alarm" with
    "datapoints" (or "series" by id for metric math), or PutCompositeAlarm's under "composite" with
    "children", and "start" and "end". With "explain": true each line says which rule decided.

    Example: driftline alarm replay drift.json --changes
    """
    # Imported here: the evaluation needs numpy, the options do not.
    from driftline.alerts.evaluation.replay import replay as evaluations

    for one in evaluations(read_document(file)):
        line = one.as_dict()
        if not changes or line["state"] != line["previous"]:
            sys.stdout.write(harmless_json(json.dumps(line, ensure_ascii=False)) + "\n")


def explained(found: Mapping[str, Any], _asked: object = None) -> Iterator[str | Table]:
    """Write the explanation of an alarm's state."""
    yield f"{found['name']}: {found['state']} since {text_of(found['since'])}"
    yield from _parts(found, _STATE)
    if found["points"]:
        columns = "start mark value lower upper judged=is_counted"
        yield from lines_of(found["points"][-_POINTS_SHOWN:], columns)
    for one in found["children"]:
        yield f"{'true ' if one['holds'] else 'false'} {one['condition']}"
        for child in one["alarms"]:
            yield f"      {child['name']}: {child['state']} since {text_of(child['since'])}"
    yield from _parts(found, {"decided by": "decided", **_CAUSE})
    if (last := found["last_alarm"]) is not None:
        yield f"last alarm: {text_of(last['since'])} to {text_of(last['until'])}"
        yield from _parts(last, _CAUSE)
    yield from _parts(found, _NEXT)
    for one in found["findings"]:
        yield from _parts(one, {"no data": "problem", "fix": "mend", "similar": "similar"})
    if found["actions"]:
        yield from lines_of(found["actions"], "channel status why")


def _parts(found: Mapping[str, Any], names: Mapping[str, str]) -> Iterable[str | Table]:
    return lines_of({label: found[name] for label, name in names.items()})


add_operations(alarm, "alarm", {"explain": explained})
