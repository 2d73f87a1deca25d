"""The tap: it records what passes, hands it on at once, and never harms the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.spool.follower import SpoolReader
from driftline.capture.spool.frame import Flag, Frame
from driftline.capture.tap.asgi import REQUEST_ID_KEY
from driftline.capture.tap.tap import Capture
from driftline.capture.tap.target import CaptureTarget
from driftline.errors import InputError

Call = Callable[..., list[dict[str, Any]]]
Message = dict[str, Any]


def frames_of(folder: Path) -> list[Frame]:
    spools = [path for path in folder.glob("*") if not path.name.startswith(".")]
    return [frame for spool in spools for frame in SpoolReader(spool).read(10_000)]


def answering(*chunks: bytes, status: int = 200, headers: Any = ()) -> Any:
    """Make an app that reads the request and answers with these chunks."""

    async def app(scope: Message, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for chunk in chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": chunks[-1]})

    return app


def test_request_and_response_are_recorded_with_their_circumstances(
    spool_dir: Path, call: Call
) -> None:
    app = answering(b"1,0.5", headers=[(b"content-type", b"text/csv")])
    tap = Capture(
        app, endpoint="flights", spool_dir=spool_dir, now_ns=lambda: 1_700_000_000 * 10**9
    )

    sent = call(
        tap,
        b"1,2",
        b",3",
        headers=[
            (b"content-type", b"text/csv"),
            (b"authorization", b"secret"),
            (b"x-amzn-sagemaker-inference-id", b"order-7"),
            (b"x-amzn-sagemaker-custom-attributes", b"trace=1"),
        ],
    )

    (frame,) = frames_of(spool_dir)
    assert (frame.request, frame.response) == (b"1,2,3", b"1,0.5")
    assert (frame.request_bytes, frame.response_bytes, frame.status) == (5, 5, 200)
    assert frame.wall_ns == 1_700_000_000 * 10**9
    assert frame.meta == {
        "endpoint": "flights",
        "event_id": dict(sent[0]["headers"])[b"x-amzn-requestid"].decode(),
        "variant": "AllTraffic",
        "model": "",
        "rate": "1.0",
        "request_content_type": "text/csv",
        "response_content_type": "text/csv",
        "inference_id": "order-7",
        "custom_attributes": "trace=1",
    }


def test_the_response_is_passed_on_unchanged_but_for_the_request_id(
    spool_dir: Path, call: Call
) -> None:
    app = answering(b"a", b"b", b"", headers=[(b"x-own", b"1")])

    plain = call(app, b"body")
    tapped = call(Capture(app, endpoint="flights", spool_dir=spool_dir), b"body")

    assert tapped[1:] == plain[1:]
    assert tapped[0]["headers"][:-1] == plain[0]["headers"]
    assert tapped[0]["headers"][-1][0] == b"x-amzn-requestid"


def test_a_request_id_from_outside_is_kept(spool_dir: Path, call: Call) -> None:
    tap = Capture(answering(b"a"), endpoint="flights", spool_dir=spool_dir)

    sent = call(tap, b"body", scope={REQUEST_ID_KEY: "from-above"})

    (frame,) = frames_of(spool_dir)
    assert frame.meta["event_id"] == "from-above"
    assert (b"x-amzn-requestid", b"from-above") in sent[0]["headers"]


def stored_when_sent(spool_dir: Path, app: Any) -> list[tuple[bytes, int]]:
    """For each body message: its bytes and how many frames were stored when it was passed on."""
    seen: list[tuple[bytes, int]] = []
    tap = Capture(app, endpoint="flights", spool_dir=spool_dir)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            stored = len(frames_of(spool_dir)) if spool_dir.exists() else 0
            seen.append((message.get("body", b""), stored))

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(tap(scope, receive, send))
    return seen


def test_a_record_is_stored_when_the_last_message_is_passed_on(spool_dir: Path) -> None:
    seen = stored_when_sent(spool_dir, answering(b"a", b"b", b"c"))

    assert seen == [(b"a", 0), (b"b", 0), (b"c", 1)]


def test_the_tap_looks_at_content_length_when_the_last_message_is_empty(spool_dir: Path) -> None:
    app = answering(b"ab", b"cd", b"", headers=[(b"content-length", b"4")])

    assert stored_when_sent(spool_dir, app) == [(b"ab", 0), (b"cd", 1), (b"", 1)]
    (frame,) = frames_of(spool_dir)
    assert frame.response == b"abcd"


def test_an_app_that_raises_is_recorded_and_raises(spool_dir: Path, call: Call) -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        raise LookupError("of the app")

    with pytest.raises(LookupError, match="of the app"):
        call(Capture(app, endpoint="flights", spool_dir=spool_dir), b"body")

    (frame,) = frames_of(spool_dir)
    assert frame.flags == Flag.APP_ERROR | Flag.INCOMPLETE
    assert (frame.status, frame.request) == (500, b"body")


def test_a_client_that_leaves_is_recorded(spool_dir: Path) -> None:
    started = asyncio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        started.set()
        await asyncio.Event().wait()

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"x"}

        async def send(message: Message) -> None:
            pass

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        task = asyncio.create_task(
            Capture(app, endpoint="flights", spool_dir=spool_dir)(scope, receive, send)
        )
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())

    (frame,) = frames_of(spool_dir)
    assert frame.flags == Flag.CLIENT_GONE | Flag.INCOMPLETE
    assert (frame.status, frame.response) == (200, b"a")


def test_bodies_past_the_limit_are_cut_and_their_length_is_kept(
    spool_dir: Path, call: Call
) -> None:
    app = answering(b"r" * 60, b"r" * 60)
    tap = Capture(app, endpoint="flights", spool_dir=spool_dir, max_body_bytes=100)

    sent = call(tap, b"q" * 70, b"q" * 70)

    (frame,) = frames_of(spool_dir)
    assert (frame.request, frame.request_bytes) == (b"q" * 100, 140)
    assert (frame.response, frame.response_bytes) == (b"r" * 100, 120)
    assert frame.flags & Flag.REQUEST_TRUNCATED
    assert frame.flags & Flag.RESPONSE_TRUNCATED
    assert sum(len(message.get("body", b"")) for message in sent) == 120


def test_a_buffer_that_the_app_fills_again_is_recorded_as_it_was(
    spool_dir: Path, call: Call
) -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        buffer = bytearray(b"first")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": buffer, "more_body": True})
        buffer[:] = b"other"
        await send({"type": "http.response.body", "body": bytes(buffer)})

    call(Capture(app, endpoint="flights", spool_dir=spool_dir), b"x")

    assert frames_of(spool_dir)[0].response == b"firstother"


def test_odd_header_values_are_kept_as_text_and_forge_no_other_name(
    spool_dir: Path, call: Call
) -> None:
    tap = Capture(answering(b"a"), endpoint="flights", spool_dir=spool_dir)

    for value in (b"caf\xc3\xa9", b"caf\xe9", b"x\0endpoint\0other", b"y" * 70_000):
        call(tap, b"x", headers=[(b"x-amzn-sagemaker-custom-attributes", value)])

    metas = [frame.meta for frame in frames_of(spool_dir)]
    kept = [meta["custom_attributes"] for meta in metas]
    assert kept[:3] == ["café", "café", "xendpointother"]
    assert kept[3].startswith("yyy")
    assert {meta["endpoint"] for meta in metas} == {"flights"}


def test_sampling_by_inference_id_agrees_everywhere(tmp_path: Path, call: Call) -> None:
    def sampled(folder: Path) -> set[str]:
        tap = Capture(answering(b"a"), endpoint="f", spool_dir=folder, sampling_percentage=30)
        for number in range(400):
            call(tap, b"x", headers=[(b"x-amzn-sagemaker-inference-id", b"id-%d" % number)])
        assert tap.counters["requests"] == 400
        return {frame.meta["inference_id"] for frame in frames_of(folder)}

    first, second = sampled(tmp_path / "a"), sampled(tmp_path / "b")

    assert first == second
    # Fixed ids, so no chance is involved; 120 expected, standard deviation 9.
    assert 80 < len(first) < 160


def test_requests_left_out_by_sampling_pass_and_keep_their_request_id(
    spool_dir: Path, call: Call
) -> None:
    tap = Capture(answering(b"a"), endpoint="f", spool_dir=spool_dir, sampling_percentage=0)

    sent = call(tap, b"x")

    assert sent[1]["body"] == b"a"
    assert sent[0]["headers"][0][0] == b"x-amzn-requestid"
    assert not spool_dir.exists()


def test_only_posts_are_recorded_unless_a_route_says_otherwise(spool_dir: Path, call: Call) -> None:
    tap = Capture(answering(b"a"), endpoint="flights", spool_dir=spool_dir)
    call(tap, b"", method="GET")
    assert not spool_dir.exists()

    routed = Capture(
        answering(b"a"),
        spool_dir=spool_dir,
        route=lambda scope: CaptureTarget("other", "Blue", "m1") if scope["path"] == "/" else None,
    )
    call(routed, b"", method="GET")
    call(routed, b"", scope={"path": "/healthz"})

    (frame,) = frames_of(spool_dir)
    assert [frame.meta[name] for name in ("endpoint", "variant", "model")] == [
        "other",
        "Blue",
        "m1",
    ]


@pytest.mark.parametrize(
    ("trust", "header", "expected", "flag"),
    [
        (True, b"2013-01-15T10:00:00.5-05:00", "1358262000500000", Flag.EVENT_TIME_GIVEN),
        (True, b"yesterday", None, Flag.EVENT_TIME_MALFORMED),
        (True, b"2013-01-15T10:00:00", None, Flag.EVENT_TIME_MALFORMED),
        (False, b"2013-01-15T10:00:00Z", None, 0),
    ],
)
def test_event_time_counts_only_where_it_is_trusted(
    spool_dir: Path, call: Call, trust: bool, header: bytes, expected: str | None, flag: int
) -> None:
    target = CaptureTarget("flights", trust_event_time=trust)
    tap = Capture(answering(b"a"), spool_dir=spool_dir, route=lambda _: target)

    call(tap, b"x", headers=[(b"x-driftline-event-time", header)])

    (frame,) = frames_of(spool_dir)
    assert frame.meta.get("event_time_us") == expected
    assert frame.flags == flag


def test_faults_of_the_tap_never_reach_the_request_and_are_counted_as_drops(
    spool_dir: Path, call: Call
) -> None:
    def broken(scope: Any) -> CaptureTarget:
        raise RuntimeError("of the tap")

    tap = Capture(answering(b"a"), spool_dir=spool_dir, route=broken)

    answers = [call(tap, b"x")[1]["body"] for _ in range(120)]

    assert answers == [b"a"] * 120
    # After a hundred it has given up, and goes on counting.
    assert (tap.counters["faults"], tap.counters["dropped"]) == (100, 20)
    tap.spool.close()
    assert (tap.counters["faults"], tap.counters["dropped"]) == (100, 20)


def test_the_log_names_the_kind_and_place_of_a_fault_and_no_payload(
    spool_dir: Path, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(scope: Any) -> CaptureTarget:
        return CaptureTarget(b"secret \xff".decode())

    call(Capture(answering(b"a"), spool_dir=spool_dir, route=broken), b"x")

    assert "UnicodeDecodeError" in caplog.text
    assert "broken:" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither endpoint nor route"),
        ({"endpoint": "../x"}, "not a name"),
        ({"endpoint": "x", "sampling_percentage": 101}, "expected 0 to 100"),
    ],
)
def test_wrong_use_is_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Capture(answering(b"a"), **options)
