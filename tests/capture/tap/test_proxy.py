"""The proxy: between a real client and a real server, bytes pass as they come and are recorded."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import httpx
import pytest

from driftline.capture.spool.frame import Flag
from tests.capture.tap.proxy_tools import Upstream, proxying, records, until


def test_a_request_arrives_as_it_was_sent_but_for_what_belongs_to_the_connection(
    proxy: str, upstream: Upstream, spool_dir: Path
) -> None:
    headers = [
        ("x-own", "1"), ("x-own", "2"), ("connection", "keep-alive, x-named"), ("x-named", "1"),
        ("te", "trailers"), ("proxy-authorization", "secret"), ("accept-encoding", "br"),
        ("x-forwarded-for", "10.0.0.9"), ("content-type", "application/json"),
    ]  # fmt: skip
    with httpx.Client() as client:
        answer = client.post(f"{proxy}/echo?a=%2F&b", content=b"{}", headers=headers)

    told = answer.json()
    sent = [(name, value) for name, value in told["headers"]]
    names = {name for name, _ in sent}
    assert (told["target"], told["method"], told["size"]) == ("/echo?a=%2F&b", "POST", 2)
    assert [value for name, value in sent if name == "x-own"] == ["1", "2"]
    assert [value for name, value in sent if name == "x-forwarded-for"] == ["10.0.0.9"]
    assert ("x-forwarded-host", proxy.removeprefix("http://")) in sent
    assert ("x-forwarded-proto", "http") in sent
    assert ("host", upstream.url.removeprefix("http://")) in sent
    assert ("accept-encoding", "br") in sent
    assert names.isdisjoint({"connection", "x-named", "te", "proxy-authorization"})
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "x-hop" not in answer.headers
    (frame,) = records(spool_dir)
    assert answer.headers["x-amzn-requestid"] == frame.meta["event_id"] != "theirs"
    assert (frame.request, frame.response) == (b"{}", answer.content)


def test_answers_are_neither_unpacked_nor_followed_nor_remembered(
    proxy: str, spool_dir: Path
) -> None:
    with httpx.Client() as client:
        with client.stream("POST", f"{proxy}/packed") as packed:
            raw = b"".join(packed.iter_raw())
        moved = client.post(f"{proxy}/moved")
        client.cookies.clear()
        client.post(f"{proxy}/echo")
        again = client.get(f"{proxy}/echo", headers={"cookie": "own=1"}).json()

    assert gzip.decompress(raw) == b"x" * 1000
    assert packed.headers["content-encoding"] == "gzip"
    assert (moved.status_code, moved.headers["location"]) == (302, "/echo")
    assert [value for name, value in again["headers"] if name == "cookie"] == ["own=1"]
    # A GET is passed on and not recorded.
    assert [frame.status for frame in records(spool_dir, 3)] == [200, 302, 200]


def test_a_stream_of_events_arrives_part_by_part(
    proxy: str, upstream: Upstream, spool_dir: Path
) -> None:
    received = []
    with httpx.stream("POST", f"{proxy}/events", content=b"{}", timeout=20) as answer:
        for part in answer.iter_raw():
            received.append(part)
            # The server behind goes on only when we have this part.
            (upstream.folder / f"go{len(received) - 1}").touch()

    assert received == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
    assert answer.headers["content-type"] == "text/event-stream"
    (frame,) = records(spool_dir)
    # Events hold no rows: only their length is kept.
    assert (frame.response, frame.response_bytes) == (b"", len(b"".join(received)))
    assert frame.flags & Flag.STREAMED


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_passes_whole_and_is_kept_in_part(
    proxy: str, spool_dir: Path, chunked: bool
) -> None:
    size = 40 << 20
    pieces = (b"z" * (1 << 20) for _ in range(40))

    answer = httpx.post(
        f"{proxy}/upload",
        content=pieces,
        headers={} if chunked else {"content-length": str(size)},
        timeout=60,
    )

    (frame,) = records(spool_dir)
    assert (answer.status_code, answer.text) == (201, str(size))
    assert (frame.request_bytes, len(frame.request)) == (size, 1 << 20)
    assert frame.flags & Flag.REQUEST_TRUNCATED


def test_a_client_that_asks_first_is_told_to_go_on(proxy: str) -> None:
    host, port = proxy.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        first = connection.recv(1000)
        connection.sendall(b"abc")
        rest = b"".join(iter(lambda: connection.recv(1000), b""))

    assert first.startswith(b"HTTP/1.1 100 ")
    assert rest.startswith(b"HTTP/1.1 201 ")
    assert b"\r\n\r\n" in rest


def test_a_server_that_is_not_there_is_502_with_one_sentence(spool_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"

    with proxying(nobody, spool_dir) as url:
        answer = httpx.post(f"{url}/predict", content=b"{}", timeout=10)

    error = answer.json()["error"]
    (frame,) = records(spool_dir)
    assert (answer.status_code, error["code"]) == (502, "upstream_failed")
    assert error["message"].startswith(f"upstream {nobody} does not answer")
    assert "\n" not in error["message"]
    assert (frame.status, answer.headers["x-amzn-requestid"]) == (502, frame.meta["event_id"])


def test_a_server_that_is_killed_mid_answer_leaves_no_answer_that_seems_whole(
    upstream: Upstream, proxy: str, spool_dir: Path
) -> None:
    received = []
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("POST", f"{proxy}/dies", content=b"{}", timeout=10) as answer,
    ):
        received += list(answer.iter_raw())
    upstream.process.wait(10)
    during = httpx.post(f"{proxy}/echo", timeout=10).status_code
    upstream.start()
    after = httpx.post(f"{proxy}/echo", timeout=10).status_code

    broken = records(spool_dir, 3)[0]
    assert (during, after) == (502, 200)
    assert (broken.status, broken.response) == (200, b"half of ")
    assert broken.flags & Flag.INCOMPLETE


def test_a_client_that_leaves_ends_the_request_behind(
    upstream: Upstream, proxy: str, spool_dir: Path
) -> None:
    before = httpx.get(f"{upstream.url}/calls").json()["given_up"]
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{proxy}/slow", content=b"{}", timeout=httpx.Timeout(10, read=0.2))

    until(lambda: httpx.get(f"{upstream.url}/calls").json()["given_up"] == before + 1)
    (frame,) = records(spool_dir)
    assert frame.flags & Flag.CLIENT_GONE
    assert frame.status == 499
