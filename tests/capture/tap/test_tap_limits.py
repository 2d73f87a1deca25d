"""What the tap keeps and leaves out: headers, budgets, counts, and the disk before the answer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.spool.counters import Traffic, read_counters
from driftline.capture.spool.follower import SpoolReader
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.quota import COUNTERS_NAME
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tap.asgi import REQUEST_ID_KEY
from driftline.capture.tap.tap import Capture
from driftline.capture.tap.target import CaptureTarget
from tests.capture.tap.test_tap import answering, frames_of

Call = Callable[..., list[dict[str, Any]]]
SECRET = [
    (b"authorization", b"s3cret"),
    (b"cookie", b"s3cret"),
    (b"x-api-key", b"s3cret"),
    (b"x-amz-security-token", b"s3cret"),
    (b"proxy-authorization", b"s3cret"),
    (b"set-cookie", b"s3cret"),
]


def test_listed_headers_are_kept_and_all_others_are_not(spool_dir: Path, call: Call) -> None:
    tap = Capture(answering(b"a"), endpoint="f", spool_dir=spool_dir)

    call(tap, b"x", headers=[(b"accept", b"a/b"), (b"x-request-id", b"7"), (b"x-own", b"1")])
    call(tap, b"x", headers=[(b"x-own", b"1"), *SECRET])

    first, second = (frame.meta for frame in frames_of(spool_dir))
    assert first["headers"] == "accept:a/b\nx-request-id:7"
    assert "headers" not in second
    assert b"s3cret" not in b"".join(path.read_bytes() for path in spool_dir.glob("*/*.dls"))


def test_credentials_are_not_kept_although_they_are_listed(
    spool_dir: Path, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["X-Own", *(name.decode().title() for name, _ in SECRET)]
    tap = Capture(answering(b"a"), endpoint="f", spool_dir=spool_dir, headers=names)

    call(tap, b"x", headers=[(b"x-own", b"1"), (b"accept", b"a/b"), *SECRET])

    assert frames_of(spool_dir)[0].meta["headers"] == "x-own:1"
    assert "authorization, cookie" in caplog.text


def test_a_line_break_in_a_header_forges_no_other(spool_dir: Path, call: Call) -> None:
    tap = Capture(answering(b"a"), endpoint="f", spool_dir=spool_dir)

    call(tap, b"x", headers=[(b"accept", b"a\nx-request-id:forged"), (b"x-request-id", b"7")])

    assert frames_of(spool_dir)[0].meta["headers"] == "accept:a x-request-id:forged\nx-request-id:7"


def test_a_trace_is_sampled_as_a_whole(tmp_path: Path, call: Call) -> None:
    chosen = []
    for name in ("front", "back"):
        tap = Capture(
            answering(b"a"), endpoint=name, spool_dir=tmp_path / name, sampling_percentage=50
        )
        for number in range(100):
            parent = b"00-%032x-%016x-01" % (number, number if name == "front" else 7)
            call(tap, b"%d" % number, headers=[(b"traceparent", parent)])
        chosen.append({frame.request for frame in frames_of(tmp_path / name)})

    assert chosen[0] == chosen[1]
    # Fixed ids, so no chance is involved; 50 expected, standard deviation 5.
    assert 25 < len(chosen[0]) < 75


def test_bodies_are_left_out_while_too_many_requests_are_open(spool_dir: Path) -> None:
    tap = Capture(answering(b"a"), endpoint="f", spool_dir=spool_dir, max_inflight_bytes=100)
    tap._recorder.inflight_bytes = 101

    call_once(tap, b"x" * 50)

    (frame,) = frames_of(spool_dir)
    assert (frame.request, frame.request_bytes, frame.response_bytes) == (b"", 50, 1)
    assert frame.flags == Flag.BODY_OMITTED | Flag.REQUEST_TRUNCATED | Flag.RESPONSE_TRUNCATED
    assert tap._recorder.inflight_bytes == 101


def call_once(tap: Any, body: bytes) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        pass

    asyncio.run(tap({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send))


def test_requests_are_counted_where_they_outlive_the_process(spool_dir: Path, call: Call) -> None:
    half = CaptureTarget("half", sampling_percentage=50)
    full = CaptureTarget("full")
    tap = Capture(
        answering(b"a"), spool_dir=spool_dir, route=lambda s: full if s["path"] == "/f" else half
    )
    for number in range(50):
        call(tap, b"x", headers=[(b"x-amzn-sagemaker-inference-id", b"%d" % number)])
    call(tap, b"x", scope={"path": "/f"})

    (counters,) = spool_dir.glob(f"*/{COUNTERS_NAME}")
    found = {one.endpoint: one for one in read_counters(counters)}
    chosen = len(frames_of(spool_dir)) - 1
    assert found == {"half": Traffic("half", 50, chosen), "full": Traffic("full", 1, 1)}
    assert found["half"].requests - found["half"].sampled == 50 - chosen > 0


def test_a_forked_child_counts_for_itself(spool_dir: Path, call: Call) -> None:
    tap = Capture(answering(b"a"), endpoint="f", spool_dir=spool_dir)
    for _ in range(3):
        call(tap, b"parent")

    child = os.fork()
    if child == 0:
        call_once(tap, b"child")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    call(tap, b"parent")

    counts = [read_counters(spool / COUNTERS_NAME) for spool in spool_dir.glob("*-*")]
    assert sorted(counts, key=str) == [[Traffic("f", 1, 1)], [Traffic("f", 4, 4)]]


def test_kept_headers_are_a_column_of_the_table(
    root: str, spool_dir: Path, call: Call, drain: Callable[..., Any]
) -> None:
    tap = Capture(answering(b"1,0.5"), endpoint="f", spool_dir=spool_dir)
    call(tap, b"1.5,3,UA", headers=[(b"accept", b"a:b"), (b"x-request-id", b"caf\xe9")])
    call(tap, b"1.5,3,UA", headers=[])
    tap.spool.append({"endpoint": "f", "headers": "no name\naccept:x"}, [b"1"], [b"2"])
    drain()

    data = Dataset(root, "f").open()
    assert data is not None
    found = data.to_table(["headers", "spool_seq"]).sort_by("spool_seq")["headers"].to_pylist()
    assert found == [[("accept", "a:b"), ("x-request-id", "café")], None, [("accept", "x")]]


def test_who_reads_puts_records_on_the_disk(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SpoolWriter(spool_dir).append({"endpoint": "f"}, [b"x"])
    (spool,) = spool_dir.iterdir()
    reader, synced = SpoolReader(spool), []
    reader.read(10)
    monkeypatch.setattr(os, "fdatasync", synced.append)

    reader.sync()

    assert len(synced) == 1


def test_an_id_from_above_cannot_forge_a_name_when_headers_were_seen_before(
    spool_dir: Path, call: Call
) -> None:
    tap = Capture(answering(b"a"), endpoint="flights", spool_dir=spool_dir)

    for request_id in ("plain", "a\0endpoint\0other", "caf\u00e9", "plain"):
        call(tap, b"x", scope={REQUEST_ID_KEY: request_id})

    metas = [frame.meta for frame in frames_of(spool_dir)]
    assert {meta["endpoint"] for meta in metas} == {"flights"}
    ids = [meta["event_id"] for meta in metas]
    assert ids == ["plain", "aendpointother", "caf\u00e9", "plain"]


@pytest.mark.parametrize("chunks", [(b"a",), (b"a", b"b")])
def test_what_the_tap_cannot_write_is_a_counted_fault(
    spool_dir: Path, call: Call, chunks: tuple[bytes, ...]
) -> None:
    odd: Any = "no number"
    tap = Capture(answering(*chunks, status=odd), endpoint="f", spool_dir=spool_dir)

    sent = call(tap, b"x")

    assert sent[0]["status"] == odd
    counters = tap.counters
    assert [counters[name] for name in ("sampled", "stored", "dropped", "faults")] == [1, 0, 0, 1]
    assert tap.spool.dropped == 1
