from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from driftline.app.demo.flights import Request
from driftline.app.demo.labels import LabelFeed
from driftline.errors import UnavailableError

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
# Two requests a day of two flights each; the last flight of each day never arrived.
REQUESTS = [
    Request(START + day * DAY + timedelta(hours=hour), 4 * day + 2 * hour, 4 * day + 2 * hour + 2,
            b"1\n2\n")
    for day in range(4)
    for hour in range(2)
]  # fmt: skip
TABLE = pa.table({"late": pa.array([1, 0, 1, None] * 4, pa.int64())})
IDS = {index: f"event-{index}" for index in range(len(REQUESTS))}


class Server:
    """Keeps what is put."""

    def __init__(self, *, loses: int = 0) -> None:
        self.bodies: list[str] = []
        self.loses = loses

    def put_truth(self, endpoint: str, labels: bytes, *, content_type: str) -> dict[str, Any]:
        assert (endpoint, content_type) == ("flights", "text/csv")
        self.bodies.append(labels.decode())
        return {"stored": labels.count(b"\n") - 1 - self.loses}


def _feed(server: Server) -> LabelFeed:
    return LabelFeed(server, "flights", TABLE, REQUESTS, START)  # type: ignore[arg-type]


def test_a_days_labels_are_known_two_days_after_its_end() -> None:
    server = Server()
    feed = _feed(server)

    feed.load_until(START + 2 * DAY, IDS)
    assert server.bodies == []

    feed.load_until(START + 3 * DAY, IDS)
    assert server.bodies == ["id,row_index,label\nevent-0,0,1\nevent-0,1,0\nevent-1,0,1\n"]
    assert feed.known_until == START + DAY


def test_each_day_is_loaded_once_and_days_that_were_left_behind_are_made_up() -> None:
    server = Server()
    feed = _feed(server)

    for day in (3, 3, 5, 9):
        feed.load_until(START + day * DAY, IDS)

    assert len(server.bodies) == 4
    assert sum(body.count("\n") - 1 for body in server.bodies) == 12
    assert "event-7,0,1\n" in server.bodies[-1]


def test_labels_that_the_server_does_not_store_end_the_demo() -> None:
    with pytest.raises(UnavailableError, match="2 of 3 were stored"):
        _feed(Server(loses=1)).load_until(START + 3 * DAY, IDS)
