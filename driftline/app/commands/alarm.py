"""Commands about alarms, what they notify and scale, and the metrics that they watch."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from driftline.app.commands import options
from driftline.app.commands.files import read_document
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table, harmless_json
from driftline.app.exit_codes import UNAVAILABLE, UNDECIDED

alarm = options.Group(help="See why alarms are in their states, set states, replay alarms.")
channel = options.Group(help="Where messages of alarms go.")
silence = options.Group(help="Messages that are held back; `driftline apply` declares silences.")
delivery = options.Group(help="Messages: how they fare, and why.")
detector = options.Group(help="Learn what is usual for a metric, for alarms beside a band.")
metric = options.Group(help="Read metrics.")
scaling = options.Group(help="Numbers of workers; `driftline apply` declares ScalingPolicies.")


def _switch(word: str, about: str, *, enabled: bool) -> Callable[..., Answer]:
    def switch(
        client: Client, names: Annotated[list[str], "Names of alarms, metric or composite."]
    ) -> Answer:
        client.switch_alarm_actions(names, enabled)
        value = {"names": names, "actions_enabled": enabled}
        return Answer(value, lines_of(value))

    switch.__doc__ = f'{about}\n\nExample: driftline alarm {word} "flights drift"'
    return switch


for _word, _about in {
    "enable": "Switch the actions of alarms on.",
    "disable": "Switch the actions of alarms off; their states go on changing.",
}.items():
    alarm.command(_word)(_switch(_word, _about, enabled=_word == "enable"))


@alarm.command()
def replay(
    file: Annotated[str, "FILE", "JSON with the alarm and its data; - reads stdin."],
    as_json: options.AsJson = False,
) -> None:
    """Evaluate an alarm on given datapoints, one JSON line for each evaluation.

    The same function judges live alarms. FILE holds PutMetricAlarm's fields under "alarm" with
    "datapoints" (or "series" by id for metric math), or PutCompositeAlarm's under "composite" with
    "children", and "start" and "end". With "explain": true each line says which rule decided.

    Example: driftline alarm replay drift.json
    """
    # Imported here: the evaluation needs numpy, the options do not.
    from driftline.alerts.evaluation.replay import replay as evaluations

    for one in evaluations(read_document(file)):
        line = json.dumps(one.as_dict(), ensure_ascii=False)
        sys.stdout.write(harmless_json(line) + "\n")


def _tested(found: Mapping[str, Any], _asked: object) -> Answer:
    """Exit code 3 where a message was not taken, 4 where the receiver did not answer."""
    is_silent = bool(found["message_id"]) and found["status"] is None
    code = 0 if found["is_taken"] else UNAVAILABLE if is_silent else UNDECIDED
    return Answer(found, lines_of({**found, "body": None}), code)


def _statistics(found: Mapping[str, Any], _asked: object) -> Iterable[str | Table]:
    """Print periods, each extended statistic in a column of its own."""
    return lines_of([
        {**one, "extended_statistics": None, **one.get("extended_statistics", {})}
        for one in found["datapoints"]
    ])  # fmt: skip


add_operations(alarm, "alarm")
add_operations(channel, "channel", {"test": _tested})
add_operations(silence, "silence")
add_operations(delivery, "delivery")
add_operations(detector, "detector")
add_operations(metric, "metric", {"stats": _statistics})
add_operations(scaling, "scaling")
