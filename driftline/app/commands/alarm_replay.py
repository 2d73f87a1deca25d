"""Commands that say what an alarm would have done: on data of a file, or on what is stored."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.alarm import alarm
from driftline.app.commands.output import harmless_json
from driftline.errors import InputError
from driftline.validation import require_unicode

OnlyChanges = Annotated[
    bool, typer.Option("--changes", help="Print only evaluations that change the state.")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Say on each line which rule decided, over what.")
]


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
@options.with_server
def preview(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON with the alarm; - reads stdin.")
    ],
    changes: OnlyChanges = False,
    explain: Explain = False,
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate an alarm on what the server has stored, one JSON line for each evaluation.

    FILE is as for "alarm replay", without datapoints: "alarm", "start" and "end". The alarm need
    not be declared, and nothing changes.

    Example: driftline alarm preview drift.json --changes
    """
    document = _read(file, explain=explain)
    if not isinstance(document, dict):
        raise InputError(f'file "{file}"; expected a JSON object')
    with server.connect() as client:
        _show(client.preview_alarm(document), only_changes=changes)


def _show(lines: Iterable[Mapping[str, object]], *, only_changes: bool) -> None:
    for line in lines:
        if not only_changes or line["state"] != line["previous"]:
            sys.stdout.write(harmless_json(json.dumps(line, ensure_ascii=False)) + "\n")


def _read(file: str, *, explain: bool) -> object:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        document = json.loads(content)
    except OSError as error:
        raise InputError(f'file "{file}": {error.strerror}; expected a readable file') from error
    except RecursionError as error:
        raise InputError(f'file "{file}": nested too deep; expected a JSON object') from error
    except ValueError as error:
        raise InputError(f'file "{file}": {error}; expected a JSON object') from error
    require_unicode(document, f'file "{file}"')
    return {**document, "explain": True} if explain and isinstance(document, dict) else document
