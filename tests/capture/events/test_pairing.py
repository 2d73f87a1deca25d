"""Two events become one record; what was acknowledged is never lost."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.capture.events.cloudevents import Event
from driftline.capture.events.halves import FOLDER, Halves, Taken
from driftline.capture.events.pairing import Expected, Pairing
from driftline.capture.line.sink import Sink
from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.frame import Flag, Frame, Kind
from driftline.capture.tables.dataset import Dataset, read_gaps
from driftline.capture.tap.place import CapturePlace
from driftline.capture.tap.target import CaptureTarget
from tests.servers.commands import talking

TARGET = CaptureTarget("flights")
T = 1_795_179_600_000_000


def event(event_id: str, kind: str, data: bytes | None = None, **more: object) -> Event:
    is_request = kind == "q"
    body = data if data is not None else (b"1.5,3,UA" if is_request else b'{"predictions":[1]}')
    given = {"time_us": T + (0 if is_request else 7_000), "content_type": "text/csv", **more}
    return Event(id=event_id, source="s", is_request=is_request, data=body, **given)  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.ns = T * 1000

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pairing(spool_dir: Path, clock: Clock) -> Iterator[Pairing]:
    found = Pairing(CapturePlace(spool_dir), now_ns=clock)
    yield found
    found.close()


def send(
    pairing: Pairing, *events: Event, target: CaptureTarget = TARGET, expected: Expected = "both"
) -> list[str]:
    return list(pairing.receive([(one, target) for one in events], expected))


def frames(spool_dir: Path) -> list[Frame]:
    tail = SpoolFollower(spool_dir)
    try:
        found = [frame for delivery in tail.receive(10_000) for frame in delivery.frames]
    finally:
        tail.close()
    return [frame for frame in found if frame.kind == Kind.RECORD]


def test_request_and_response_become_one_record(pairing: Pairing, spool_dir: Path) -> None:
    assert send(pairing, event("a", "q")) == ["waiting"]
    assert send(pairing, event("a", "r")) == ["stored"]

    (found,) = frames(spool_dir)
    assert (found.request, found.response) == (b"1.5,3,UA", b'{"predictions":[1]}')
    assert (found.status, found.flags, found.total_us) == (200, 0, 7_000)
    assert (found.request_bytes, found.response_bytes) == (8, 19)
    assert found.meta["inference_id"] == "a"
    assert found.meta["endpoint"] == "flights"
    assert found.meta["request_content_type"] == "text/csv"
    # KServe gives the response the type of the request.
    assert found.meta["response_content_type"] == "application/json"
    assert "event_time_us" not in found.meta
    assert list((spool_dir / FOLDER).glob("*.half")) == []


def test_the_order_does_not_matter(pairing: Pairing, spool_dir: Path, clock: Clock) -> None:
    first_ns = clock.ns
    send(pairing, event("a", "r"))
    clock.ns += 5_000_000_000
    send(pairing, event("a", "q"), event("b", "r"), event("b", "q"))

    one, two = frames(spool_dir)
    assert (one.request, one.response) == (two.request, two.response)
    assert one.wall_ns == first_ns
    assert one.meta["event_id"] != two.meta["event_id"]


def test_the_time_of_the_event_is_taken_where_it_is_trusted(
    pairing: Pairing, spool_dir: Path
) -> None:
    target = CaptureTarget("flights", trust_event_time=True)
    send(pairing, event("a", "r"), event("a", "q"), target=target)

    (found,) = frames(spool_dir)
    assert found.meta["event_time_us"] == str(T)
    assert found.flags == Flag.EVENT_TIME_GIVEN


@pytest.mark.parametrize("order", ["qqrr", "qrqr", "rrqq", "rqqr"])
def test_repetitions_are_written_once(pairing: Pairing, spool_dir: Path, order: str) -> None:
    outcomes = [send(pairing, event("a", kind))[0] for kind in order]

    assert sorted(outcomes) == ["known", "known", "stored", "waiting"]
    assert len(frames(spool_dir)) == 1
    assert pairing.counters["known"] == 2


def test_repetitions_are_known_after_a_restart(spool_dir: Path) -> None:
    for kind in "qrqr":
        pairing = Pairing(CapturePlace(spool_dir))
        send(pairing, event("a", kind))
        pairing.close()

    assert len(frames(spool_dir)) == 1


def test_a_half_is_written_alone_after_the_window_and_its_other_half_too(
    pairing: Pairing, spool_dir: Path, clock: Clock
) -> None:
    send(pairing, event("a", "q"), event("b", "r"))
    clock.ns += 599 * 10**9
    assert pairing.sweep() == 0
    clock.ns += 10**9
    assert pairing.sweep() == 2
    assert send(pairing, event("a", "q"), event("a", "r")) == ["known", "stored"]

    request, response, late = frames(spool_dir)
    assert (request.request, request.response, request.status) == (b"1.5,3,UA", b"", 0)
    assert (response.request, response.status) == (b"", 200)
    assert late.response == b'{"predictions":[1]}'
    assert all(found.flags == Flag.INCOMPLETE for found in (request, response, late))
    assert pairing.counters["unpaired"] == 3


@pytest.mark.parametrize(("kind", "expected"), [("q", "request"), ("r", "response")])
def test_of_a_logger_of_one_mode_each_half_is_a_record(
    pairing: Pairing, spool_dir: Path, kind: str, expected: Expected
) -> None:
    assert send(pairing, event("a", kind), expected=expected) == ["stored"]
    assert send(pairing, event("a", kind), expected=expected) == ["known"]

    (found,) = frames(spool_dir)
    assert (found.status, found.flags) == (200, 0)


def test_of_too_many_halves_the_oldest_are_written_alone(spool_dir: Path) -> None:
    pairing = Pairing(CapturePlace(spool_dir), max_waiting=3)
    send(pairing, *(event(str(number), "q") for number in range(5)))

    assert pairing.sweep() == 2
    assert [found.meta["inference_id"] for found in frames(spool_dir)] == ["0", "1"]
    pairing.close()


def test_files_of_halves_are_for_their_owner_only(pairing: Pairing, spool_dir: Path) -> None:
    send(pairing, event("a", "q"))

    folder = spool_dir / FOLDER
    assert {one.stat().st_mode & 0o777 for one in (spool_dir, folder)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_receiver_that_could_not_begin_begins_when_it_can(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairing = Pairing(CapturePlace(spool_dir))
    begin = Halves._open_journal

    def refuse(_self: Halves) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Halves, "_open_journal", refuse)
    with pytest.raises(OSError, match="No space"):
        send(pairing, event("a", "q"))
    monkeypatch.setattr(Halves, "_open_journal", begin)

    assert send(pairing, event("a", "q")) == ["waiting"]
    pairing.close()


def test_a_line_that_a_full_disk_cuts_spoils_no_other(
    spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = Halves(spool_dir)
    first, second = Taken("a" * 64, "qr", 1, "-"), Taken("b" * 64, "q", 2, "-")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:30]))
        with pytest.raises(OSError, match="short write"):
            halves.take(first)

    halves.take(second)

    assert halves.taken() == [second]
    halves.close()


def test_a_full_spool_drops_the_record_and_counts_it(spool_dir: Path, root: str) -> None:
    pairing = Pairing(CapturePlace(spool_dir, spool_max_bytes=1))

    assert send(pairing, event("a", "q"), event("a", "r")) == ["waiting", "dropped"]
    pairing.close()

    tail = SpoolFollower(spool_dir)
    gaps = [frame for found in tail.receive(100) for frame in found.frames]
    tail.close()
    assert [(gap.kind, gap.meta["reason"], gap.meta["records"]) for gap in gaps] == [
        (Kind.GAP, "full", "1")
    ]


def test_a_half_that_power_loss_damaged_is_counted(spool_dir: Path) -> None:
    pairing = Pairing(CapturePlace(spool_dir))
    send(pairing, event("a", "q"))
    pairing.close()
    (file,) = (spool_dir / FOLDER).glob("*.half")
    file.write_bytes(file.read_bytes()[:-1])

    again = Pairing(CapturePlace(spool_dir))
    again.sweep()
    again.close()

    assert again.counters["dropped"] == 1
    assert not file.exists()


RECEIVER = """
import sys
from pathlib import Path
from driftline.capture.events.cloudevents import Event
from driftline.capture.events.pairing import Pairing
from driftline.capture.tap.place import CapturePlace
from driftline.capture.tap.target import CaptureTarget

pairing = Pairing(CapturePlace(Path(sys.argv[1])))
pairing.sweep()
target = CaptureTarget("flights")
print("ready", flush=True)
for line in sys.stdin:
    kind, number = line.split()
    body = f"{number}.5,3,UA" if kind == "q" else f"{number},0.25"
    event = Event(number, "s", kind == "q", None, "text/csv", body.encode())
    print(*pairing.receive([(event, target)]), flush=True)
pairing.close()
"""


def test_kill_9_loses_no_half_that_was_acknowledged_and_doubles_none(
    spool_dir: Path, root: str, drain: Callable[[], Sink], tmp_path: Path
) -> None:
    chance = random.Random(20)
    acknowledged: set[tuple[str, str]] = set()
    queue = [(kind, str(number)) for number in range(400) for kind in "qr"]
    # Halves of a pair come apart, and in any order.
    queue.sort(key=lambda one: int(one[1]) + chance.uniform(0, 12))
    position, kills = 0, 0
    while position < len(queue):
        with talking(RECEIVER, spool_dir) as (process, stdin, stdout):
            assert stdout.readline() == "ready\n"
            last = position + chance.randrange(20, 60)
            while position < min(last, len(queue)):
                kind, number = queue[position]
                stdin.write(f"{kind} {number}\n")
                if position == last - 1:
                    break
                assert stdout.readline().strip() in ("waiting", "stored", "known")
                acknowledged.add(queue[position])
                position += 1
            if position < len(queue):
                time.sleep(chance.uniform(0, 0.0006))
                process.send_signal(signal.SIGKILL)
                kills += 1
                # An answer that came out before the kill counts.
                if stdout.readline().strip():
                    acknowledged.add(queue[position])
                    position += 1
            else:
                stdin.close()
            process.wait()
        if chance.random() < 0.5:
            drain()  # The reader may remove the dead spool before the receiver is back.
    last_words = Pairing(CapturePlace(spool_dir), window_s=0.001)
    time.sleep(0.01)
    last_words.sweep()
    last_words.close()
    drain()

    data = Dataset(root, "flights").open()
    assert data is not None
    rows = data.to_table()
    assert kills > 10
    _require_each_once(rows, acknowledged, root)


@pytest.mark.parametrize("share", [0.9, 1.0], ids=["part", "all"])
def test_a_record_that_a_kill_left_partly_written_is_not_taken_for_written(
    spool_dir: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event id lies in the segment then, and no reader takes it for a record."""
    child = os.fork()
    if not child:
        receiver = Pairing(CapturePlace(spool_dir))
        send(receiver, event("before", "q"), event("before", "r"), event("a", "q"))
        monkeypatch.setattr(os, "writev", lambda *given: _die_writing(*given, share))
        send(receiver, event("a", "r"))
        os._exit(1)  # It died before.
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    after = Pairing(CapturePlace(spool_dir))
    outcome = send(after, event("a", "r"))
    after.close()

    assert outcome == (["stored"] if share < 1 else ["known"])
    assert [frame.meta["inference_id"] for frame in frames(spool_dir)] == ["before", "a"]


def _die_writing(file: int, buffers: list[bytes], share: float) -> None:
    """Write a part of a frame, and die."""
    frame = b"".join(buffers)
    os.write(file, frame[: int(len(frame) * share)])
    os._exit(0)


def _require_each_once(rows: pa.Table, acknowledged: set[tuple[str, str]], root: str) -> None:
    found: list[tuple[str, str]] = []
    for row in rows.select(["inference_id", "request_bytes", "response_bytes"]).to_pylist():
        found += [("q", row["inference_id"])] if row["request_bytes"] else []
        found += [("r", row["inference_id"])] if row["response_bytes"] else []
    lost = sum(gap.records or 0 for gap in read_gaps(root))
    assert len(found) == len(set(found))
    assert len(acknowledged - set(found)) <= 2 * lost
