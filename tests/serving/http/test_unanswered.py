"""What is counted and answered of requests that a model did not answer as it should."""

import asyncio
import contextlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from driftline.serving.hosting.admission import TimedOutError
from driftline.serving.hosting.child import Reply, WorkerLostError
from driftline.serving.hosting.pool import NoWorkerError
from driftline.serving.http.invocations import Invocations
from driftline.serving.metrics.traffic import Answered
from driftline.serving.resources.worker_spec import WorkerSpec

SCOPE = {
    "type": "http", "method": "POST", "path": "/endpoints/flights/invocations",
    "headers": [(b"content-type", b"text/csv"), (b"content-length", b"1")],
}  # fmt: skip


class Stage:
    """A pool that answers as it is told to."""

    def __init__(self, found: Reply | Exception) -> None:
        self.found = found
        self.coming = contextlib.nullcontext()
        self.spec = WorkerSpec("stage")

    async def invoke(self, *_: object, **__: object) -> Reply:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def ask(pool: Any) -> tuple[Answered, list[dict[str, Any]]]:
    """Return what is counted, and what is sent."""
    desired = SimpleNamespace(
        endpoint="flights", name="all", answers_later=None, worker=WorkerSpec("f"),
        trust_event_time=False,
    )  # fmt: skip
    route = SimpleNamespace(desired=desired, pool=pool, target_model=lambda *_: None)
    reconciler = SimpleNamespace(served=lambda _: SimpleNamespace(by_weight=lambda _: route))
    context = SimpleNamespace(
        now=lambda: datetime.now(UTC),
        body_timeout_s=9.0,
        settings=SimpleNamespace(serving=SimpleNamespace(max_request_bytes=9)),
    )
    counted: list[Answered] = []
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"1"}

    async def send(message: Any) -> None:
        sent.append(message)

    invocations = Invocations(
        cast("Any", context), cast("Any", reconciler), lambda found, _: counted.append(found)
    )
    asyncio.run(invocations({**SCOPE}, receive, send))
    return counted[0], sent


@pytest.mark.parametrize(
    ("error", "was_asked"),
    [(TimedOutError("late"), True), (WorkerLostError("gone"), True), (NoWorkerError("no"), False)],
)
def test_a_model_that_was_asked_and_did_not_answer_has_failed(
    error: Exception, was_asked: bool
) -> None:
    counted, _ = ask(Stage(error))

    assert counted.status >= 500
    assert (counted.model_s is not None) is was_asked


@pytest.mark.parametrize("form", ["text/csv\n", "text/csv\r\nx: y", "text/\x00", "té/xt"])
def test_a_content_type_that_is_no_header_is_the_models_fault(form: str) -> None:
    counted, sent = ask(Stage(Reply(200, form, b"1")))

    assert counted.status == sent[0]["status"] == 424
    assert "the model's content type is" in sent[1]["body"].decode()
