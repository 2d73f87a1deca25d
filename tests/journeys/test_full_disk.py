"""A full disk, a used-up budget, a broker that stays away: answers go on, and loss is counted."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.journeys.kills import Customer, counted, customers_of, install, stored
from tests.kit.installation import Installation
from tests.kit.services import KafkaBroker
from tests.kit.waiting import wait

APP = """
import driftline as dl
from fastapi import FastAPI, Request, Response

app = FastAPI()

@app.get("/counters")
def counters() -> dict:
    return tap.counters

@app.post("/")
async def answer(request: Request) -> Response:
    return Response(await request.body(), media_type="application/json")

app = tap = dl.Capture(app, endpoint="echo")
"""
BODY = b'{"text": "' + b"x" * 8_000 + b'"}'
VOLUME_BYTES = 2 << 20


class Shop:
    """An app of its own, asked again and again; it remembers each answer."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        self.answered: list[str] = []
        self.statuses: Counter[int] = Counter()

    def ask(self, count: int = 1) -> None:
        """Send so many requests."""
        for _ in range(count):
            answer = self.client.post(
                "/", content=BODY, headers={"content-type": "application/json"}
            )
            self.statuses[answer.status_code] += 1
            self.answered.append(answer.headers["x-amzn-requestid"])

    def counted(self, what: str) -> int:
        """Return a counter of the tap."""
        return int(self.client.get("/counters").json()[what])

    def ask_until_stored(self, stored: int) -> None:
        """Ask until records are stored again, all by itself."""

        def is_stored() -> bool:
            self.ask()
            return self.counted("stored") > stored

        wait(is_stored)


@contextmanager
def serving(folder: Path, spool: Path, **settings: str) -> Iterator[Shop]:
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
            process.terminate()
            process.wait(60)


def storing(folder: Path, spool: Path) -> Installation:
    """Return what keeps storing what is in the spool, while it is a context."""
    settings = f'[capture]\nspool_dir = "{spool}"'
    return Installation(folder, settings, words=("--only", "capture"), is_forked=True)


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


def fill(app: Shop, volume: Path) -> Callable[[], None]:
    """Fill the volume to the last byte with something else, which then goes."""
    app.ask(20)
    with (volume / "other").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while True:
            if file.write(b"y" * 4096) < 4096:
                raise OSError("no space left")
    app.ask(100)
    return (volume / "other").unlink


def test_a_full_disk_costs_counted_records_and_no_answer(tmp_path: Path, volume: Path) -> None:
    spool = volume / "spool"
    sink = storing(tmp_path / "sink", spool)
    with serving(tmp_path, spool, spool_max_bytes=str(64 << 20)) as app:
        free = fill(app, volume)
        assert app.counted("dropped")
        before = app.counted("stored")
        free()
        with sink:
            app.ask_until_stored(before)
            app.ask(50)
            wait(lambda: len(sink.table("echo")) > before)
    adds_up(app, sink, spool)


def test_a_used_up_budget_costs_counted_records_and_no_answer(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    sink = storing(tmp_path / "sink", spool)
    with serving(tmp_path, spool, spool_max_bytes="200000") as app:
        app.ask(100)
        assert app.counted("dropped") > 20
        before = app.counted("stored")
        with sink:
            app.ask_until_stored(before)
            app.ask(50)
    adds_up(app, sink, spool)


def adds_up(app: Shop, sink: Installation, spool: Path) -> None:
    """Account for each answer: stored once, or counted as dropped."""
    with sink:
        wait(lambda: not [path for path in spool.glob("[!.]*") if path.is_dir()])
    ids = sink.table("echo")["event_id"].to_list()
    assert set(app.statuses) == {200}
    assert len(ids) == len(set(ids))
    assert set(ids) <= set(app.answered)
    assert len(ids) + counted(sink) == len(app.answered)


@pytest.mark.slow
@pytest.mark.kafka
def test_a_broker_away_for_longer_than_the_spool_holds_costs_counted_records(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    shop = install(
        tmp_path / "shop", kafka_broker, capture="spool_max_bytes = 50_000", is_forked=True
    )
    with shop, customers_of(shop) as customers:
        answers_after(customers, 50)
        kafka_broker.kill()
        try:
            wait(lambda: dropped(shop) > 100, within_s=300)
        finally:
            kafka_broker.start()
        before, earlier = dropped(shop), set(answers_after(customers, 0))
        # One that was answered after the broker came back is enough.
        wait(lambda: set(stored(shop)) & (set(answers_after(customers, 20)) - earlier))
        for customer in customers:
            customer.stop.set()
        for customer in customers:
            customer.join(60)
        answered = {one for customer in customers for one in customer.answered}
        wait(
            lambda: len(answered - set(stored(shop))) == counted(shop),
            within_s=300, every_s=1.0,
        )  # fmt: skip

    ids = stored(shop)
    assert {status for customer in customers for status in customer.statuses} == {200}
    assert len(ids) == len(set(ids))
    assert counted(shop) >= before > 100
    assert len(answered) == len(answered & set(ids)) + counted(shop)


def dropped(shop: Installation) -> int:
    """Ask the server what its tap has dropped."""
    for line in shop.get("/metrics").splitlines():
        if line.startswith("driftline_tap_dropped"):
            return int(float(line.split()[-1]))
    return 0


def answers_after(customers: list[Customer], count: int) -> list[str]:
    """Wait for so many more answers; return all."""
    wanted = sum(len(customer.answered) for customer in customers) + count
    wait(lambda: sum(len(customer.answered) for customer in customers) >= wanted)
    return [one for customer in customers for one in customer.answered]
