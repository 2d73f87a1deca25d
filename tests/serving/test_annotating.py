"""A server that dies between a mark and the windows that it is about: the next one goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from driftline.monitors.annotations.store import unsettled_annotations
from tests.servers.commands import python
from tests.serving.conftest import Running, running, wait_for
from tests.serving.judged import marked

PATH = "/api/v1/monitors/quality"

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.run import annotating as marking
from driftline.serving.context import ServerContext
from driftline.serving.known import declared_monitor
from driftline.serving.operations.services import Services
from driftline.settings.settings import Settings
from tests.servers.postgres import open_url

judged = []

def dies(*about):
    if len(judged) == int(windows):
        os.kill(os.getpid(), signal.SIGKILL)
    judged.append(judge(*about))
    return judged[-1]

judge, marking.run = marking.run, dies
url, root, windows = sys.argv[1:]
now = datetime(2026, 1, 15, tzinfo=UTC)
window = Window(datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC))
settings = Settings(storage={"root": root, "local_dir": root})
context = ServerContext(settings=settings, engine=open_url(url), now=lambda: now)
job = Services(context, *[None] * 10).job(declared_monitor(context, "quality"), window)
mark = Annotation(
    monitor="quality", window_start=window.start, window_end=window.end, verdict="expected",
    reason="so it is", author="ann", made_at=now, feature="distance", until=now,
)
marking.mark_window(job, mark, None)
"""


@pytest.fixture
def server(tmp_path: Path):
    with marked(tmp_path) as found:
        yield found


def verdicts(server: Running) -> list[tuple[str, int]]:
    items = server.client.get(f"{PATH}/executions").json()["items"]
    found = [one for one in items if one["is_current"]]
    found.sort(key=lambda one: one["window_start"])
    return [(one["baseline_version"], one["violation_count"]) for one in found]


def waiting(server: Running) -> list[str]:
    with server.engine.connect() as connection:
        return [one.verdict for one in unsettled_annotations(connection)]


@pytest.mark.parametrize("after", [0, 1])
def test_a_server_that_begins_judges_what_a_killed_one_left(server, after: int) -> None:
    before, url = verdicts(server), server.engine.url.render_as_string(hide_password=False)
    died = python(KILLED, url, server.context.root, after).wait(60)
    assert died == -signal.SIGKILL
    left = verdicts(server)

    with running(server.root.parent, database=url) as next_one:
        wait_for(lambda: not waiting(server))
        after_it = verdicts(next_one)

    assert left[after:] == before[after:]
    # The change of unit, and the drift that it is.
    assert [count for _, count in after_it] == [count - 2 for _, count in before]
