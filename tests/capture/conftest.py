"""What the tests of capture share: a signature, an ASGI client in process, and a filled table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.signature import Column, Signature
from tests.capture.tap.proxy_tools import proxy, upstream

__all__ = ["proxy", "upstream"]

SIGNATURE = Signature(
    features=(
        Column("temp", "feature_temp", "double"),
        Column("Dep Delay", "feature_dep_delay", "int64"),
        Column("carrier", "feature_carrier", "string"),
        Column("late", "feature_late", "bool", role="label"),
    ),
    outputs=(
        Column("prediction", "prediction", "int64", role="prediction"),
        Column("probability", "probability", "double", role="probability"),
    ),
)


@pytest.fixture(autouse=True)
def closed_spools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close each writer that a test leaves open, or a whole run would use up a process's files."""
    made: list[SpoolWriter] = []
    begin = SpoolWriter.__init__

    def noted(self: SpoolWriter, *args: Any, **settings: Any) -> None:
        begin(self, *args, **settings)
        made.append(self)

    monkeypatch.setattr(SpoolWriter, "__init__", noted)
    yield
    for writer in made:
        writer.close()


@pytest.fixture
def signature() -> Signature:
    return SIGNATURE


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


Call = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def call() -> Call:
    """Send one HTTP request through an ASGI app; give the messages it answered."""

    def run(
        app: Any,
        *chunks: bytes,
        headers: Iterable[tuple[bytes, bytes]] = ((b"content-type", b"text/csv"),),
        method: str = "POST",
        scope: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        messages = [
            {"type": "http.request", "body": chunk, "more_body": at < len(chunks)}
            for at, chunk in enumerate(chunks, 1)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        described = {"type": "http", "method": method, "path": "/", "headers": list(headers)}
        asyncio.run(app({**described, **(scope or {})}, receive, send))
        return sent

    return run


def record(
    writer: SpoolWriter,
    request: bytes = b"1.5,3,UA",
    response: bytes = b"1,0.25",
    *,
    event_id: str | None = None,
    at: datetime = datetime(2013, 1, 15, 12, tzinfo=UTC),
    status: int = 200,
    endpoint: str = "flights",
    flags: int = 0,
    later: Callable[[Callable[[], None]], object] | None = None,
    **meta: str,
) -> bool:
    """Append one CSV record whose event and arrival time are given."""
    pairs = {
        "endpoint": endpoint,
        "request_content_type": "text/csv",
        "response_content_type": "text/csv",
        **meta,
    }
    if event_id is not None:
        pairs["event_id"] = event_id
    return writer.append(
        pairs,
        [request],
        [response],
        wall_ns=int(at.timestamp() * 1e9),
        total_us=1_000,
        request_bytes=len(request),
        response_bytes=len(response),
        status=status,
        flags=flags,
        later=later,
    )


@pytest.fixture
def write() -> Callable[..., bool]:
    return record


@pytest.fixture
def drain(root: str, spool_dir: Path) -> Callable[[], Sink]:
    """Run a new sink over the spool until nothing is left; give it for its counters."""

    def run(found: Signature | None = SIGNATURE, *, trusts: str | None = None) -> Sink:
        transport = LocalTransport(spool_dir)
        sink = Sink(root, transport, lambda _: found, trusts_event_time=lambda name: name == trusts)
        try:
            sink.step()
        finally:
            transport.close()
        return sink

    return run
