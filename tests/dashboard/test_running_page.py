"""What a page shows of a window that is being judged, and the button that cancels it."""

import json
from dataclasses import replace
from datetime import timedelta

import plotly.utils
import pytest

from driftline.dashboard.actions import Actions
from driftline.dashboard.pages import monitor as page_of
from driftline.dashboard.pages.windows import monitor_page
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.run.progress import RunState


@pytest.fixture
def view(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    (line, *_) = stores.overview().monitors
    return stores.monitor(line.name, None, None, None)


def text(drawn):
    return json.dumps(drawn, cls=plotly.utils.PlotlyJSONEncoder)


def begun(view, status):
    start = view.run.end
    return RunState(
        monitor=view.monitor.name,
        window_start=start,
        window_end=start + timedelta(hours=1),
        status=status,
        stage="evaluating",
        rows_read=131_072,
        started_at=view.now,
        seen_at=view.now,
        log=[{"at": view.now.isoformat(), "text": "2 rows of 1 request"}],
    )


def test_a_window_that_is_being_judged_is_shown_and_can_be_cancelled(view):
    line = replace(view.monitor, begun=(begun(view, "InProgress"),))
    stopping = replace(view.monitor, begun=(begun(view, "Stopping"),))

    drawn = text(monitor_page(replace(view, monitor=line)))

    for words in (
        "Windows that are being judged",
        "evaluating",
        "131,072",
        "2 rows of 1 request",
        "Cancel",
    ):
        assert words in drawn, words
    assert '"data-action": "cancel"' in drawn
    assert '"data-action": "cancel"' not in text(monitor_page(replace(view, monitor=stopping)))
    assert "being judged" not in text(monitor_page(view))


def test_a_page_names_the_monitors_that_come_first(view):
    definition = replace(view.monitor.definition, depends_on=("first", "second"))
    waiting = replace(view.monitor, definition=definition)

    assert "after first, second" in text(monitor_page(replace(view, monitor=waiting)))
    assert "after " not in text(monitor_page(view)).split("false alarms allowed")[0]


def test_the_log_of_a_window_is_shown_and_a_stopped_one_says_who(view):
    assert "Completed" in view.run.log[-1]["text"]
    assert view.run.log[-1]["text"] in text(monitor_page(view))

    stopped = replace(view.run, state="stopped", failure="stopped by ada")
    assert page_of.verdict(view, stopped).startswith("Not judged: stopped by ada")


@pytest.mark.parametrize(
    ("status", "said"), [("Stopped", "Stopped."), ("Stopping", "Stopping; it ends before")]
)
def test_the_button_asks_the_server(view, status, said):
    asked = []

    def send(method, path, body, *, token=None):
        asked.append((method, path, body))
        return {"items": [{"status": status}]}

    span = {"from": "2026-01-12T00:00:00+00:00", "to": "2026-01-13T00:00:00+00:00"}
    found = Actions(send, lambda: view.now).run("cancel", {"monitor": "a b", **span})

    assert (found[0], found[1][: len(said)]) == (200, said)
    assert asked == [("POST", "/api/v1/monitors/a%20b/cancel", span)]
