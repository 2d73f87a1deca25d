"""What the proxy refuses: strangers, hostile requests, wrong use."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from driftline.capture.tap.proxy import ReverseProxy
from driftline.errors import InputError
from tests.capture.tap.proxy_tools import Upstream, proxying, records
from tests.servers.ports import free_port


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
    ("lengths", "status"),
    [
        (b"Content-Length: 99\r\nTransfer-Encoding: chunked", b"400"),
        (b"Transfer-Encoding: chunked\r\nConnection: content-length", b"201"),
        (b"Transfer-Encoding: chunked\r\nConnection: transfer-encoding", b"201"),
    ],
)
def test_a_body_has_one_length_whatever_the_client_says(
    proxy: str, lengths: bytes, status: bytes
) -> None:
    head = b"POST /upload HTTP/1.1\r\n" + lengths

    assert sent_raw(proxy, head, b"5\r\nabcde\r\n0\r\n\r\n") == status


@pytest.mark.parametrize(
    "target",
    [b"POST @elsewhere", b"CONNECT elsewhere:443", b"OPTIONS *"],
)
def test_only_paths_are_handed_on(proxy: str, target: bytes) -> None:
    assert sent_raw(proxy, target + b" HTTP/1.1") == b"400"


def test_a_proxy_that_is_its_own_upstream_says_so_at_once(spool_dir: Path) -> None:
    port = free_port()

    with proxying(f"http://127.0.0.1:{port}", spool_dir, port=port) as url:
        answer = httpx.get(f"{url}/echo", timeout=10)

    assert answer.status_code == 508
    assert "leads back here" in answer.json()["error"]["message"]


def test_a_path_of_the_upstream_goes_before_each_request(
    upstream: Upstream, spool_dir: Path
) -> None:
    with proxying(f"{upstream.url}/echo/", spool_dir, paths=["/predict"]) as url:
        lost = httpx.post(f"{url}/predict", timeout=5)

    assert lost.status_code in (500, 502)  # /echo/predict, which that server does not know.
    assert [frame.status for frame in records(spool_dir)] == [lost.status_code]


def test_the_command_runs_until_told_to_stop(upstream: Upstream, tmp_path: Path) -> None:
    port = free_port()
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


@pytest.mark.parametrize("name", ["user:", ":"])
def test_an_address_with_a_password_is_refused_without_it(name: str) -> None:
    with pytest.raises(InputError, match="expected an address") as told:
        ReverseProxy(f"http://{name}hunter2@127.0.0.1:9")

    assert "hunter2" not in str(told.value)
