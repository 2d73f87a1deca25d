"""The client that puts load on a server, against a small one that counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from driftline.app.recommend.load import Phase, request_of, run
from driftline.errors import InputError


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.bodies.append(
            (self.client_address, self.rfile.read(int(self.headers["Content-Length"])))
        )
        self.send_response(200 if self.path == "/good" else 503)
        self.send_header("content-length", "100000")
        self.end_headers()
        self.wfile.write(b"busy" + 99_996 * b".")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as found:
        found.bodies = []
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_users_come_in_and_ask_in_turn_until_the_end(server: ThreadingHTTPServer) -> None:
    port = server.server_port
    requests = [request_of(port, "/good", "text/csv", body) for body in (b"1", b"22")]

    load = run(port, requests, Phase(1, spawn_per_minute=600, seconds=0.35))

    assert load.seconds >= 0.35
    assert (load.latencies_s > 0).all()
    assert load.per_minute == pytest.approx(60 * len(server.bodies) / load.seconds)
    assert len({user for user, _ in server.bodies}) == 4
    assert {body for _, body in server.bodies} == {b"1", b"22"}


def test_a_phase_without_length_asks_once(server: ThreadingHTTPServer) -> None:
    request = request_of(server.server_port, "/good", "text/csv", b"1")

    assert len(run(server.server_port, [request], Phase(2, seconds=0)).latencies_s) == 2


def test_an_answer_other_than_200_is_an_error_with_its_beginning(server) -> None:
    request = request_of(server.server_port, "/bad", "text/csv", b"1")

    with pytest.raises(InputError, match=r"a call failed: HTTP/1.1 503 .*: busy\.{196}$"):
        run(server.server_port, [request], Phase(1))
