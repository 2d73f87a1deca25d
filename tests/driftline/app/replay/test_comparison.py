"""Answers of then and now laid beside each other, and the pace at which requests are sent."""

from datetime import UTC, datetime

import pytest

from driftline.app.replay.comparison import Differences, compare
from driftline.app.replay.sending import Answer, Sender, Target
from driftline.formats.capture_line import CaptureLine, Side
from driftline.signature import Column, Signature

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
SIGNATURE = Signature(
    features=(Column("a", "feature_a", "double"),),
    outputs=(
        Column("prediction", "prediction", "string", role="prediction"),
        Column("probability", "probability", "double", role="probability"),
    ),
)


def line(identity: str, request: bytes, response: bytes | None) -> CaptureLine:
    side = None if response is None else Side(response, "text/csv", "CSV")
    return CaptureLine(identity, NOON, Side(request, "text/csv", "CSV"), side)


def answer(content: bytes) -> Answer:
    return Answer(200, content, "text/csv", 0.01)


def test_rows_are_compared_by_the_signature():
    total = Differences()

    table = compare(
        total,
        SIGNATURE,
        [
            (line("x", b"1\n2\n3\n", b"a,0.5\nb,0.25\na,0.75\n"), answer(b"a,0.5\na,0.5\na,0.5\n")),
            (line("y", b"4\n", b"b,0.5\n"), answer(b"b,\n")),
            (line("z", b"5\n", b"b,0.5\n"), Answer(500, reason="status 500")),
            (line("w", b"6\n", b"b,0.5\n"), answer(b"b,0.5\nb,0.5\n")),
        ],
    )

    assert table["event_id"].to_pylist() == ["x", "x", "x", "y", "z", "w"]
    assert table["row_index"].to_pylist() == [0, 1, 2, 0, 0, 0]
    assert table["differs"].to_pylist() == [False, True, True, True, None, None]
    assert table["change"].to_pylist() == [0.0, 0.25, 0.25, None, None, None]
    assert table["prediction_after"].to_pylist() == ["a", "a", "a", "b", None, None]
    assert table["error"].to_pylist() == [
        *[None] * 4, "status 500", "after: 2 rows; the request had 1",
    ]  # fmt: skip
    told = total.to_dict()
    assert (told["requests"], told["failed"], told["rows"], told["unread"]) == (4, 1, 5, 1)
    assert (told["compared"], told["differing"], told["share_differing"]) == (4, 3, 0.75)
    assert told["columns"]["probability"]["mean_change"] == pytest.approx(0.0)
    assert told["columns"]["probability"]["mean_size"] == pytest.approx(0.5 / 3)
    assert told["latency_ms_p50"] == pytest.approx(10)


def test_numbers_within_the_tolerance_are_the_same():
    pairs = [(line("x", b"1\n", b"a,0.5\n"), answer(b"a,0.52\n"))]
    assert compare(Differences(), SIGNATURE, pairs)["differs"].to_pylist() == [True]
    near = compare(Differences(), SIGNATURE, pairs, tolerance=0.1)
    assert near["differs"].to_pylist() == [False]
    assert near["change"].to_pylist() == [pytest.approx(0.02)]


def test_without_a_signature_whole_bodies_are_compared():
    total = Differences()

    table = compare(
        total,
        None,
        [
            (line("x", b"1", b"same"), answer(b"same")),
            (line("y", b"1", b"old"), answer(b"new")),
            (line("z", b"1", None), answer(b"new")),
            (line("w", b"1", b"old"), Answer(0, reason="no answer (ReadTimeout)")),
        ],
    )

    assert table["differs"].to_pylist() == [False, True, None, None]
    told = total.to_dict()
    assert (told["rows"], told["unread"], told["differing"]) == (3, 1, 1)
    assert told["failures"] == {"no answer (ReadTimeout)": 1}


def test_requests_are_sent_no_faster_than_asked(monkeypatch):
    clock, waits = [100.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    sender = Sender(
        Target("http://127.0.0.1:1/x", "x"), rate=4, parallel=1, now=lambda: clock[0], sleep=sleep
    )
    monkeypatch.setattr(sender, "_ask", lambda one: (answer(b"a"), None))

    sent = list(sender.send(line(str(index), b"1", b"a") for index in range(25)))
    sender.close()

    assert [one.event_id for one, _ in sent] == [str(index) for index in range(25)]
    assert clock[0] == pytest.approx(100 + 24 / 4)
    assert min(waits) >= 0


def test_the_first_is_sent_alone_and_its_time_is_not_counted(monkeypatch):
    opened = []

    def ask(one):
        opened.append(one.event_id)
        return Answer(200, b"a", "text/plain", 2.0 if one.event_id == "0" else 0.01), None

    sender = Sender(Target("http://127.0.0.1:1/x", "x"), parallel=4)
    monkeypatch.setattr(sender, "_ask", ask)
    total = Differences()

    pairs = list(sender.send(line(str(index), b"1", b"a") for index in range(7)))
    sender.close()
    compare(total, None, pairs)

    assert opened[0] == "0"
    assert [one.is_first for _, one in pairs] == [True, *[False] * 6]
    assert total.to_dict()["latency_ms_p99"] == pytest.approx(10.0)
