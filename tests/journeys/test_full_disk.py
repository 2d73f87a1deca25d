"""A full disk, a used-up budget, a broker that stays away: answers go on, and loss is counted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.capture.tables.dataset import Dataset, read_gaps
from tests.capture.counts import counted
from tests.journeys.conftest import eventually
from tests.journeys.kills import PARTS, Customer, Installation, customers_of
from tests.servers.kafka import KafkaBroker

APP = """
import driftline as dl
from fastapi import FastAPI, Request, Response

app = FastAPI()

@app.get("/counters")
def counters() -> dict:
    return tap.counters

@app.post("/")
async def answer(request: Request) -> Response:
    return Response(await request.body(), media_type="text/plain")

app = tap = dl.Capture(app, endpoint="echo")
"""
BODY = b"x" * 8_000
VOLUME_BYTES = 2 << 20


class Shop:
    """An app of its own, asked again and again; it remembers each answer."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        self.answered: list[str] = []
        self.statuses: Counter[int] = Counter()

    def ask(self, count: int = 1) -> None:
        """Send so many requests."""
        for _ in range(count):
            answer = self.client.post("/", content=BODY)
            self.statuses[answer.status_code] += 1
            self.answered.append(answer.headers["x-amzn-requestid"])

    def counted(self, what: str) -> int:
        """Return a counter of the tap."""
        found: int = self.client.get("/counters").json()[what]
        return found


@contextmanager
def shop(folder: Path, spool: Path, **settings: str) -> Iterator[Shop]:
    """Run the app under uvicorn, in a process of its own."""
    (folder / "app.py").write_text(APP)
    environment = {f"DRIFTLINE_CAPTURE__{name.upper()}": text for name, text in settings.items()}
    environment["DRIFTLINE_CAPTURE__SPOOL_DIR"] = str(spool)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Uvicorn takes what it is handed for a Unix socket and sets no such thing: each answer
        # would wait 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        command = [sys.executable, "-m", "uvicorn", "app:app", "--log-level", "warning"]
        process = subprocess.Popen(
            [*command, "--fd", str(listener.fileno())],
            cwd=folder,
            env={**os.environ, **environment},
            pass_fds=[listener.fileno()],
        )
        found = Shop(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            with found.client:
                yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextmanager
def storing(root: Path, spool: Path) -> Iterator[None]:
    """Keep a sink running over the spool."""
    stop = threading.Event()

    def work() -> None:
        with closing(LocalTransport(spool)) as transport:
            sink = Sink(str(root), transport, lambda _: None, commit_interval_s=0.2)
            sink.run(stop)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of two megabytes."""
    folder = tmp_path / "volume"
    folder.mkdir()
    if os.geteuid():
        pytest.skip("only root mounts volumes")
    size = f"size={VOLUME_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill_by_asking(shop: Shop, _volume: Path) -> Callable[[], None]:
    """Fill the volume with records; they go when they are stored."""
    shop.ask(VOLUME_BYTES // len(BODY))
    return lambda: None


def fill_by_a_neighbour(shop: Shop, volume: Path) -> Callable[[], None]:
    """Fill the volume to the last byte with something else, which then goes."""
    shop.ask(20)
    with (volume / "other").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while True:
            if file.write(b"y" * 4096) < 4096:
                raise OSError("no space left")
    shop.ask(100)
    return (volume / "other").unlink


@pytest.mark.parametrize(
    ("fill", "policy"), [(fill_by_asking, "drop"), (fill_by_a_neighbour, "metadata_only")]
)
def test_a_full_disk_costs_counted_records_and_no_answer(
    tmp_path: Path, volume: Path, fill: Callable[[Shop, Path], Callable[[], None]], policy: str
) -> None:
    spool, root = volume / "spool", tmp_path / "root"
    with shop(tmp_path, spool, on_full=policy, spool_max_bytes=str(64 << 20)) as app:
        free = fill(app, volume)
        lost = app.counted("dropped")
        stored = app.counted("stored")
        assert lost
        free()
        with storing(root, spool):
            asked_until_stored(app, stored)
            app.ask(50)
            eventually(lambda: counted(str(root), "echo").requests > stored)
    check(app, root, spool)


@pytest.mark.parametrize("policy", ["drop", "metadata_only"])
def test_a_used_up_budget_costs_counted_records_and_no_answer(tmp_path: Path, policy: str) -> None:
    spool, root = tmp_path / "spool", tmp_path / "root"
    with shop(tmp_path, spool, on_full=policy, spool_max_bytes="200000") as app:
        app.ask(100 if policy == "drop" else 500)
        assert app.counted("dropped") > 20
        stored = app.counted("stored")
        with storing(root, spool):
            asked_until_stored(app, stored)
            app.ask(50)
    check(app, root, spool)


def asked_until_stored(app: Shop, stored: int) -> None:
    """Ask until records are stored again, all by itself."""

    def is_stored() -> bool:
        app.ask()
        return app.counted("stored") > stored

    eventually(is_stored)


def check(app: Shop, root: Path, spool: Path) -> None:
    """Account for each answer: stored once, or counted as dropped."""
    with storing(root, spool):
        eventually(lambda: not [path for path in spool.glob("[!.]*") if path.is_dir()])
    table = Dataset(str(root), "echo").open()
    assert table is not None
    stored = table.to_table(["event_id"])["event_id"].to_pylist()
    gaps = read_gaps(str(root))
    assert set(app.statuses) == {200}
    assert len(stored) == len(set(stored))
    assert set(stored) <= set(app.answered)
    assert {gap.reason for gap in gaps} <= {"full"}
    assert len(stored) + sum(gap.records or 0 for gap in gaps) == len(app.answered)


@pytest.mark.slow
@pytest.mark.kafka
def test_a_broker_away_for_longer_than_the_spool_holds_costs_counted_records(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    with ExitStack() as ending:
        house = Installation(tmp_path, kafka_broker)
        settings = tmp_path / "driftline.toml"
        text = settings.read_text()
        settings.write_text(text.replace("[capture]", "[capture]\n spool_max_bytes = 400_000"))
        ending.callback(house.stop)
        ending.callback(kafka_broker.ensure_running)
        for part in PARTS:
            house.run(part)
        with customers_of(house) as customers:
            answers_after(customers, 50)
            kafka_broker.kill()
            eventually(lambda: dropped(house) > 100, within_s=300)
            kafka_broker.start()
            before, earlier = dropped(house), set(answers_after(customers, 0))
            # One that was answered after the broker came back is enough.
            eventually(lambda: set(house.stored()) & (set(answers_after(customers, 20)) - earlier))
        answered = {one for customer in customers for one in customer.answered}
        statuses = sum((customer.statuses for customer in customers), Counter())
        eventually(lambda: len(answered - set(house.stored())) == house.counted(), within_s=300)

        stored = house.stored()
        assert set(statuses) == {200}
        assert len(stored) == len(set(stored))
        assert house.counted() >= before > 100
        assert len(answered) == len(answered & set(stored)) + house.counted()


def dropped(house: Installation) -> int:
    """Ask the server what its tap has dropped."""
    for line in httpx.get(f"{house.url}/metrics").text.splitlines():
        if line.startswith("driftline_tap_dropped"):
            return int(float(line.split()[-1]))
    return 0


def answers_after(customers: list[Customer], count: int) -> list[str]:
    """Wait for so many more answers; give all."""
    wanted = sum(len(customer.answered) for customer in customers) + count
    eventually(lambda: sum(len(customer.answered) for customer in customers) >= wanted)
    return [one for customer in customers for one in customer.answered]
