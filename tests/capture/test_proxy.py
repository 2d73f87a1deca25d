"""The proxy: between a real client and a real server, bytes pass as they come and are recorded."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from driftline.capture.frame import Flag, Frame
from driftline.capture.proxy import ReverseProxy, proxy_app
from driftline.capture.tap import Capture
from driftline.errors import InputError
from tests.capture.test_tap import frames_of

UPSTREAM = """
import asyncio, gzip, json, os, sys
import uvicorn

calls = {"given_up": 0}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    path = scope["path"]

    async def start(status=200, *headers):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def part(body, more=True):
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def whole():
        found, more = b"", True
        while more:
            message = await receive()
            found += message.get("body", b"")
            more = message.get("more_body", False)
        return found

    if path == "/echo":
        body = await whole()
        await start(200, (b"content-type", b"application/json"), (b"x-amzn-requestid", b"theirs"),
                    (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"set-cookie", b"a=1"),
                    (b"set-cookie", b"b=2"))
        names = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        target = scope["raw_path"].decode() + "?" + scope["query_string"].decode()
        told = {"headers": names, "target": target, "method": scope["method"], "size": len(body)}
        await part(json.dumps(told).encode(), False)
    elif path == "/upload":
        size = 0
        more = True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await start(201)
        await part(b"%d" % size, False)
    elif path == "/events":
        await whole()
        await start(200, (b"content-type", b"text/event-stream"))
        for number in range(3):
            await part(b"data: %d\\n\\n" % number)
            while not os.path.exists(f"go{number}"):
                await asyncio.sleep(0.01)
        await part(b"", False)
    elif path == "/packed":
        await whole()
        body = gzip.compress(b"x" * 1000)
        await start(200, (b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body)))
        await part(body, False)
    elif path == "/moved":
        await start(302, (b"location", b"/echo"))
        await part(b"", False)
    elif path == "/dies":
        await whole()
        await start(200, (b"content-type", b"text/plain"))
        await part(b"half of ")
        await asyncio.sleep(0.05)
        os._exit(9)
    elif path == "/slow":
        await whole()
        while (await receive())["type"] != "http.disconnect":
            pass
        calls["given_up"] += 1
    elif path == "/calls":
        await start()
        await part(json.dumps(calls).encode(), False)


uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off", date_header=False)
"""


class Upstream:
    """A model server of somebody else: a process on a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", UPSTREAM, str(self.port)], cwd=self.folder
        )
        until(self._answers)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/calls", timeout=1).is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


def until(condition: Callable[[], Any], within_s: float = 20.0) -> Any:
    pause, end = threading.Event(), time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, "did not come about in time"
        pause.wait(0.02)
    return found


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    server = Upstream(tmp_path_factory.mktemp("upstream"))
    yield server
    server.stop()


@contextmanager
def proxying(
    upstream: str,
    spool_dir: Path,
    *,
    timeout_s: float = 60,
    paths: Sequence[str] | None = None,
    port: int = 0,
) -> Iterator[str]:
    """Run the proxy under a real uvicorn in a thread; give its address."""
    behind = ReverseProxy(upstream, timeout_s=timeout_s)
    app = proxy_app(Capture(behind, endpoint="flights", spool_dir=spool_dir, paths=paths))
    config = uvicorn.Config(
        app, port=port, log_level="critical", lifespan="on", server_header=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def proxy(upstream: Upstream, spool_dir: Path) -> Iterator[str]:
    with proxying(upstream.url, spool_dir) as url:
        yield url


def records(spool_dir: Path, count: int = 1) -> list[Frame]:
    """Wait until so many records are in the spool."""

    def found() -> list[Frame]:
        frames = frames_of(spool_dir) if spool_dir.exists() else []
        return frames if len(frames) >= count else []

    return list(until(found))


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
    assert frame.response == b"".join(received)
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


def test_a_server_that_does_not_answer_in_time_is_504(upstream: Upstream, spool_dir: Path) -> None:
    with proxying(upstream.url, spool_dir, timeout_s=0.2) as url:
        answer = httpx.post(f"{url}/slow", content=b"{}", timeout=10)

    (frame,) = records(spool_dir)
    assert (answer.status_code, frame.status) == (504, 504)
    assert "within 0.2 s" in answer.json()["error"]["message"]


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


def test_many_at_once_each_get_their_own(proxy: str, spool_dir: Path) -> None:
    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=30) as client:
            asked = (client.post(f"{proxy}/upload", content=b"x" * n) for n in range(150))
            return await asyncio.gather(*asked)

    answers = asyncio.run(run())

    assert [answer.text for answer in answers] == [str(n) for n in range(150)]
    ids = {frame.meta["event_id"] for frame in records(spool_dir, 150)}
    assert ids == {answer.headers["x-amzn-requestid"] for answer in answers}


def test_only_this_machine_is_answered(proxy: str, spool_dir: Path) -> None:
    answer = httpx.post(f"{proxy}/echo", headers={"host": "example.org"})

    assert answer.status_code == 403
    assert not spool_dir.exists()


def sent_raw(url: str, head: bytes, body: bytes = b"") -> bytes:
    """Send a request as it stands, and give the status of the answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as link:
        link.sendall(head + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" + body)
        answer = b"".join(iter(lambda: link.recv(65536), b""))
    return answer.split(b" ", 2)[1]


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 99\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nConnection: content-length",
        b"Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
    ],
)
def test_a_body_has_one_length_whatever_the_client_says(proxy: str, lengths: bytes) -> None:
    head = b"POST /upload HTTP/1.1\r\n" + lengths

    assert sent_raw(proxy, head, b"5\r\nabcde\r\n0\r\n\r\n") == b"201"


def test_a_length_that_the_client_calls_its_connections_own_is_no_fault(proxy: str) -> None:
    head = b"POST /upload HTTP/1.1\r\nContent-Length: 5\r\nConnection: content-length"

    assert sent_raw(proxy, head, b"abcde") == b"201"


@pytest.mark.parametrize(
    "target",
    [b"POST http://elsewhere/", b"POST @elsewhere", b"CONNECT elsewhere:443", b"OPTIONS *"],
)
def test_only_paths_are_handed_on(proxy: str, target: bytes) -> None:
    assert sent_raw(proxy, target + b" HTTP/1.1") == b"400"


def test_a_proxy_that_is_its_own_upstream_says_so_at_once(spool_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with proxying(f"http://127.0.0.1:{port}", spool_dir, port=port) as url:
        answer = httpx.get(f"{url}/echo", timeout=10)

    assert answer.status_code == 508
    assert "leads back here" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8000", "ftp://x", "http://", "http://x/?q=1", "http://[::1", ""]
)
def test_a_wrong_address_is_one_sentence(address: str) -> None:
    with pytest.raises(InputError, match="expected an address such as"):
        ReverseProxy(address)


def test_a_path_of_the_upstream_goes_before_each_request(
    upstream: Upstream, spool_dir: Path
) -> None:
    with proxying(f"{upstream.url}/echo/", spool_dir, paths=["/predict"]) as url:
        lost = httpx.post(f"{url}/predict", timeout=5)

    assert lost.status_code in (500, 502)  # /echo/predict, which that server does not know.
    assert [frame.status for frame in records(spool_dir)] == [lost.status_code]


def test_the_command_runs_until_told_to_stop(upstream: Upstream, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--upstream", upstream.url, "--endpoint", "flights", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "driftline", "proxy", *options, "--path", "/upload"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    answers = [
        httpx.post(f"http://127.0.0.1:{port}{path}", content=b"1,2", timeout=10)
        for path in ("/upload", "/echo")
    ]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert process.returncode == 0
    assert "Ctrl-C ends it" in first
    assert [answer.status_code for answer in answers] == [201, 200]
    (frame,) = records(tmp_path / ".driftline" / "spool")
    assert (frame.request, frame.response) == (b"1,2", b"3")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--host", "0.0.0.0"), "only loopback addresses"),
        (("--endpoint", "a b"), "not a name"),
        (("--upstream", "nowhere"), "expected an address"),
    ],
)
def test_wrong_use_of_the_command_is_2(
    tmp_path: Path, options: tuple[str, str], sentence: str
) -> None:
    given = {"--upstream": "http://127.0.0.1:9", "--endpoint": "flights"} | dict([options])
    command = [part for pair in given.items() for part in pair]
    found = subprocess.run(
        [sys.executable, "-m", "driftline", "proxy", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert found.returncode == 2
    assert sentence in found.stderr
    assert json.dumps(found.stdout) == '""'
