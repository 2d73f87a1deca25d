import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from driftline.app.demo.flights import Request
from driftline.app.demo.replay import Replay
from driftline.errors import UnavailableError

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Endpoint(ThreadingHTTPServer):
    """Answers one line for each line, with chosen statuses for the first requests."""

    daemon_threads = True
    # All senders connect at once; one that found no room would try again a second later.
    request_queue_size = 64

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        self.times: list[str] = []
        self.rows = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            status = self.server.statuses.pop(0) if self.server.statuses else 200
            if status == 200:
                self.server.times.append(self.headers["X-Driftline-Event-Time"])
                self.server.rows += body.count(b"\n")
        if status == 0:
            self.close_connection = True
            return
        answer = b"0,0.25\n" * body.count(b"\n") if status == 200 else b'{"error": {}}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("x-amzn-RequestId", str(uuid4()))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        pass


@contextmanager
def _endpoint(statuses: list[int]) -> Iterator[Endpoint]:
    server = Endpoint(statuses)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _requests(days: int, each: int) -> list[Request]:
    moments = [
        START + day * DAY + timedelta(minutes=one) for day in range(days) for one in range(each)
    ]
    return [
        Request(moment, 2 * index, 2 * index + 2, b"1\n2\n") for index, moment in enumerate(moments)
    ]


def _replay(server: Endpoint, requests: list[Request]) -> Replay:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return Replay(url, "flights", requests, start=START)


def test_every_request_is_answered_once_and_carries_its_own_time() -> None:
    requests = _requests(days=3, each=20)
    with _endpoint([]) as server:
        replay = _replay(server, requests)

        replay.run(lambda done, total: None, lambda: None)

    answers = replay.ledger.served()
    assert sorted(answer.request_index for answer in answers) == list(range(60))
    assert len({answer.event_id for answer in answers}) == 60
    assert server.rows == 120
    assert sorted(server.times)[0] == "2026-11-01T00:00:00Z"
    assert len(set(server.times)) == 60


def test_what_is_refused_for_the_moment_is_asked_again_and_kept_in_the_account() -> None:
    with _endpoint([503, 504]) as server:
        replay = _replay(server, _requests(days=1, each=5))

        replay.run(lambda done, total: None, lambda: None)

    assert sorted(answer.status for answer in replay.ledger.answers) == [200] * 5 + [503, 504]
    assert len(replay.ledger.served()) == 5


def test_an_answer_that_never_came_is_counted_and_asked_again() -> None:
    with _endpoint([0]) as server:
        replay = _replay(server, _requests(days=1, each=5))

        replay.run(lambda done, total: None, lambda: None)

    assert replay.ledger.lost_count == 1
    assert len(replay.ledger.served()) == 5


def test_a_request_that_is_wrong_ends_the_replay_with_the_reason() -> None:
    with _endpoint([400] * 100) as server:
        replay = _replay(server, _requests(days=1, each=100))

        with pytest.raises(UnavailableError, match="answer 400"):
            replay.run(lambda done, total: None, lambda: None)


def test_a_house_that_has_lost_a_process_ends_the_replay() -> None:
    def gone() -> None:
        raise UnavailableError("server: ended with code 1")

    # One is sent again half a second later, so that it is not over too soon.
    with _endpoint([503]) as server:
        replay = _replay(server, _requests(days=1, each=5))

        with pytest.raises(UnavailableError, match="ended with code 1"):
            replay.run(lambda done, total: None, gone)


def test_a_table_of_so_many_requests_holds_so_many_whole_days() -> None:
    with _endpoint([]) as server:
        replay = _replay(server, _requests(days=3, each=30))
        replay.run(lambda done, total: None, lambda: None)

    # What is stored may be of later days, as far as they were in flight; so 29 prove no day.
    assert replay.whole_days(0) == replay.whole_days(29) == 0
    assert 2 <= replay.whole_days(89) <= 3
    assert replay.whole_days(90) == 3


def test_every_answered_request_has_its_event_id() -> None:
    with _endpoint([503]) as server:
        replay = _replay(server, _requests(days=1, each=5))
        replay.run(lambda done, total: None, lambda: None)

    assert sorted(replay.event_ids) == list(range(5))
    assert len(set(replay.event_ids.values())) == 5
