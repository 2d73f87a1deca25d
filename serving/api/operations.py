"""Names, answers and errors of each operation, by method and path; `openapi.py` has the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driftline.monitors.root_cause.export import MEDIA_TYPES as ROW_FILES
from driftline.monitors.run.cancel import Cancelled
from driftline.serving.api import answers
from driftline.serving.api.answers import items, pages
from driftline.serving.bodies.media_types import MEDIA_TYPES, TEXT_TYPES

JSON = "application/json"
LINES = TEXT_TYPES["jsonlines"]
INVOCATIONS = "/endpoints/{name}/invocations"
# What comes of models: types that they do not read or write, rows that they refuse, too slow an
# answer.
_MODEL = (404, 406, 415, 424, 504)
_BODIES = (*MEDIA_TYPES.values(),)
_EVENTS = ("*/*", "application/cloudevents+json", "application/cloudevents-batch+json")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its id for generated clients, the form of its answer, statuses of its own."""

    id: str
    answer: Any = None  # None: an empty answer, or bytes of the media types.
    errors: tuple[int, ...] = ()
    media: tuple[str, ...] = (JSON,)
    # Of a body that the route reads by itself: its form, or its media types.
    body: Any = None


def _row_file(id_: str) -> Operation:
    return Operation(id_, media=(*ROW_FILES.values(),))


_ALARM = "/api/v1/alarms/{name}"
_ENDPOINT = "/api/v1/endpoints/{name}"
_MONITOR = "/api/v1/monitors/{name}"
_EXECUTION = "/api/v1/executions/{execution_id}"

OPERATIONS: Mapping[str, Operation] = {
    f"POST {INVOCATIONS}": Operation("invoke", answers.Predictions, _MODEL, _BODIES, _BODIES),
    "POST /v1/cloudevents": Operation(
        "receive_cloudevents", answers.Received, (409,), body=_EVENTS
    ),
    # Captured requests and labels.
    f"GET {_ENDPOINT}/capture/import": Operation("prepare_import", answers.ImportTarget),
    f"POST {_ENDPOINT}/capture/lines": Operation(
        "import_lines", answers.Imported, (409,), body=(LINES,)
    ),
    f"GET {_ENDPOINT}/capture/lines": Operation("export_lines", None, (409,), (LINES,)),
    f"GET {_ENDPOINT}/capture/hours": Operation("list_export_hours", answers.Hours),
    # Monitors and what they found.
    f"POST {_MONITOR}/run": Operation("run_monitor", answers.ListedExecution, (409,)),
    f"POST {_MONITOR}/cancel": Operation("cancel_run", items(Cancelled), (409,)),
    f"GET {_MONITOR}/progress": Operation("get_progress", answers.Progress),
    f"GET {_MONITOR}/executions": Operation("list_executions", pages(answers.ListedExecution)),
    f"POST {_MONITOR}/backfill": Operation("backfill_monitor", answers.Backfilled, (409,)),
    f"POST {_MONITOR}/queue": Operation("queue_windows", answers.Queued),
    f"POST {_MONITOR}/backtest": Operation("backtest_monitor", answers.BacktestResult),
    f"GET {_MONITOR}/marks": Operation("list_marks", pages(answers.Mark)),
    f"POST {_MONITOR}/marks": Operation("add_mark", answers.Marked, (409,)),
    f"POST {_MONITOR}/marks/{{identity}}/withdraw": Operation(
        "withdraw_mark", answers.Marked, (409,)
    ),
    f"GET {_EXECUTION}": Operation("get_execution", answers.DescribedExecution),
    f"GET {_EXECUTION}/log": Operation("get_log", answers.RunLog),
    f"GET {_EXECUTION}/report": Operation("get_report", answers.Report),
    f"GET {_EXECUTION}/rows": Operation("get_rows", answers.Rows),
    f"GET {_EXECUTION}/violations/{{violation}}/rows": _row_file("export_rows"),
    f"GET {_EXECUTION}/violations/rows": _row_file("export_all_rows"),
}
