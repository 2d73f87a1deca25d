"""Whatever passes the tap: no request is harmed, and each is stored or counted."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.tap.tap import Capture
from tests.capture.tap.test_tap import answering, frames_of

Message = dict[str, Any]


def asked(app: Any, chunks: list[bytes], headers: list[tuple[bytes, bytes]]) -> list[Message]:
    """Send one request; give what was answered."""
    messages = [{"type": "http.request", "body": one, "more_body": True} for one in chunks]
    messages.append({"type": "http.request"})
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    asyncio.run(app(scope, receive, send))
    return sent


names = st.sampled_from(
    [b"content-type", b"content-encoding", b"accept", b"traceparent", b"x-request-id",
     b"x-amzn-sagemaker-inference-id", b"x-amzn-sagemaker-custom-attributes", b"x-own"]
) | st.binary(max_size=20)  # fmt: skip
headers = st.lists(st.tuples(names, st.binary(max_size=200)), max_size=12)
bodies = st.lists(st.binary(max_size=400), max_size=8)
clocks = st.lists(st.integers(-(1 << 64), 1 << 65), min_size=1, max_size=5)


@given(
    given_headers=headers, request=bodies, answer_headers=headers, answer=bodies, clock=clocks,
    share=st.sampled_from([100.0, 50.0]), limit=st.sampled_from([0, 100, 1 << 20]),
)  # fmt: skip
def test_any_request_passes_unchanged_and_is_stored_or_counted(
    given_headers: list[tuple[bytes, bytes]],
    request: list[bytes],
    answer_headers: list[tuple[bytes, bytes]],
    answer: list[bytes],
    clock: list[int],
    share: float,
    limit: int,
) -> None:
    app = answering(*answer, b"end", headers=answer_headers)
    with tempfile.TemporaryDirectory() as folder:
        ticks = iter(clock * 100)
        tap = Capture(
            app,
            endpoint="f",
            spool_dir=folder,
            sampling_percentage=share,
            max_body_bytes=limit,
            now_ns=lambda: next(ticks),
        )

        plain, tapped = asked(app, request, given_headers), asked(tap, request, given_headers)
        tap.spool.close()
        found = frames_of(Path(folder)) if list(Path(folder).iterdir()) else []

    assert tapped[1:] == plain[1:]
    assert tapped[0]["headers"][: len(answer_headers)] == plain[0]["headers"]
    assert tap.counters["faults"] == 0
    assert len(found) == tap.counters["stored"] == tap.counters["sampled"]
    for frame in found:
        # Of a type that names no rows nothing is kept.
        assert frame.request in (b"", b"".join(request)[:limit])
        assert frame.response in (b"", (b"".join(answer) + b"end")[:limit])
        assert frame.meta["endpoint"] == "f"
        assert frame.request_bytes == len(b"".join(request))
