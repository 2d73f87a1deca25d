"""What the tap costs: the same app without and with it, side by side, in one run.

Ways: the bare ASGI callable in this process; the same, a FastAPI app and the bundled server under
uvicorn, with uvloop and httptools (as `uvicorn[standard]` and `fastapi run` have it; install the
two beside, for they are no packages of ours) and with asyncio and h11. Each answers 1 KiB to a
request of 1 KiB; the bundled server answers 404. The server is saturated: sixteen connections each
send a request before an answer is read, and the last answer is read first, as otherwise waking up
(client and server) is measured. One server process has the app twice, plain and behind the tap;
slices of requests go in turn to A, to A by another name, and to B behind the tap, so that what else
the machine does falls on all alike. Given is CPU (user and system) of the server a request, of each
run the slice that was disturbed least: lowest CPU, highest rate, lowest p99; then the median of
five runs. A2 - A says how much is chance. p99 is of a steady 1,000 requests a second, from when
each was due: at saturation it would only say again how many are served. Beside it floors: copying
and appending the bytes, and the least tap of `least_tap.py`.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from least_tap import Least

from driftline.capture.spool.folder import SEGMENT_SUFFIX
from driftline.capture.spool.follower import SpoolReader
from driftline.capture.spool.frame import Kind
from driftline.capture.tap.tap import Capture
from driftline.capture.tap.target import CaptureTarget
from driftline.settings.schema import Storage
from driftline.settings.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from driftline.capture.tap.asgi import App, Message, Receive, Scope, Send

BODY = b"x" * 1024
FRAME = bytes(2_304)  # About what such a record takes.
RUNS = 5
SLICES = 12
SLICE = 320
CONNECTIONS = 16
LOOPS = {"uvloop": "httptools", "asyncio": "h11"}
BURN_S = 400e-6
STEADY = 1_000  # Requests a second: under half of what a handler of 400 us can do.
# The same app by three ways: A, A again, and B through the tap. As invocations are asked for.
PATHS = ("/endpoints/a/invocations", "/endpoints/c/invocations", "/endpoints/b/invocations")
TAPPED = PATHS[2]

SERVER = """
import socket, sys
import uvicorn
sys.path.insert(0, sys.argv[4])
import tap
app = tap.served(sys.argv[1], sys.argv[2])
options = dict(log_level="critical", access_log=False, timeout_keep_alive=600)
options |= dict(loop=sys.argv[5], http=sys.argv[6])
uvicorn.Server(uvicorn.Config(app, **options)).run(
    sockets=[socket.socket(fileno=int(sys.argv[3]))]
)
"""


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 1 KiB."""
    if scope["type"] != "http":
        return
    await receive()
    headers = [(b"content-type", b"text/csv"), (b"content-length", b"1024")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


async def burning(scope: Scope, receive: Receive, send: Send) -> None:
    """Use 400 microseconds of CPU, then answer 1 KiB."""
    end = time.thread_time() + BURN_S
    while time.thread_time() < end:
        pass
    await bare(scope, receive, send)


def fastapi_app() -> App:
    """Make a FastAPI app that answers 1 KiB."""
    from fastapi import FastAPI, Request, Response

    async def answer(request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        await request.body()
        return Response(BODY, media_type="text/csv")

    # As text, which is what they would be here, FastAPI does not find the types, and answers 422.
    answer.__annotations__ = {"request": Request, "return": Response}
    app = FastAPI()
    app.post("/{rest:path}")(answer)
    return app


def bundled(folder: Path) -> App:
    """Make the bundled server; it answers 404 to what it does not know, and that is recorded."""
    from sqlalchemy import create_engine

    from driftline.database.migrations import migrate
    from driftline.serving.app import create_app
    from driftline.serving.context import ServerContext
    from driftline.serving.http.invocations import Invocations

    target = CaptureTarget("flights")

    def found(_self: Invocations, scope: Scope) -> CaptureTarget | None:
        return target if scope["path"] == TAPPED else None

    Invocations.target = found  # type: ignore[method-assign]
    folder.mkdir(parents=True)
    engine = create_engine(f"sqlite:///{folder}/driftline.db")
    migrate(engine)
    return create_app(
        ServerContext(
            settings=Settings(storage=Storage(root=str(folder))),
            engine=engine,
            now=lambda: datetime.now(UTC),
        )
    )


def served(kind: str, folder: str) -> App:
    """Make the app of a server process: plain for all paths but one, which goes through a tap."""
    if kind == "bundled":
        return bundled(Path(folder))
    made: dict[str, Callable[[], App]] = {
        "asgi": lambda: bare,
        "fastapi": fastapi_app,
        "burning": lambda: burning,
    }
    plain = made[kind.removeprefix("least-")]()
    tapped = Capture(plain, endpoint="flights", spool_dir=folder)
    if kind.startswith("least-"):
        tapped = Least(plain, Path(folder))

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (tapped if scope.get("path") == TAPPED else plain)(scope, receive, send)

    return either


class Server:
    """One server process, and connections to it."""

    def __init__(self, kind: str, folder: Path, loop: str = "uvloop") -> None:
        self.folder = folder
        self.tapped = 0  # How many requests went through the tap.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.address = listener.getsockname()
            given = [kind, folder, listener.fileno(), Path(__file__).parent, loop, LOOPS[loop]]
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, *map(str, given)], pass_fds=[listener.fileno()]
            )
        self._connections = [socket.create_connection(self.address) for _ in range(CONNECTIONS)]
        for path in PATHS:
            self.ask(path, SLICE)

    def ask(self, path: str, count: int) -> None:
        """Send a request over each connection, then read the answers, as often as it takes."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
            "Accept-Encoding: identity\r\n"
            f"Content-Length: {len(BODY)}\r\nContent-Type: text/csv\r\n\r\n"
        )
        for _ in range(count // CONNECTIONS):
            for connection in self._connections:
                connection.sendall(head.encode() + BODY)
            for connection in reversed(self._connections):
                read_answer(connection)
        self.tapped += count // CONNECTIONS * CONNECTIONS if path == TAPPED else 0

    def cpu_us(self, path: str, count: int) -> float:
        """Return the CPU that a request takes, over so many."""
        start = cpu_s(self._process.pid)
        self.ask(path, count)
        return (cpu_s(self._process.pid) - start) / count * 1e6

    def close(self) -> None:
        """End it; nothing that was asked through the tap may be missing from its spool."""
        for connection in self._connections:
            connection.close()
        self._process.terminate()
        self._process.wait(20)
        recorded = records(self.folder)
        if recorded != self.tapped and not (self.folder / "least").exists():
            raise SystemExit(f"{self.folder.name}: {recorded} recorded of {self.tapped}")


def read_answer(connection: socket.socket) -> None:
    """Read one answer, by its length."""
    got = b""
    while True:
        more = connection.recv(65_536)
        if not more:
            raise SystemExit("the server closed a connection")
        got += more
        head, end, body = got.partition(b"\r\n\r\n")
        if end:
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if len(body) >= int(length):
                return


def records(folder: Path) -> int:
    """Count the records in all spools in a folder, however deep."""
    found = 0
    for spool in {path.parent for path in folder.rglob(f"*{SEGMENT_SUFFIX}")}:
        reader = SpoolReader(spool)
        while frames := reader.read(1_000):
            found += sum(frame.kind == Kind.RECORD for frame in frames)
    return found


def cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def in_process(app: App, count: int) -> float:
    """Call the app in this process; give CPU microseconds a request."""
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", b"a/b")]}

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY}

    async def send(message: Message) -> None:
        pass

    async def run() -> None:
        for _ in range(count):
            await app(dict(scope), receive, send)

    start = time.process_time()
    asyncio.run(run())
    return (time.process_time() - start) / count * 1e6


def floor(act: Callable[[], object], count: int = 3_000) -> float:
    """Return CPU microseconds of an act."""
    start = time.process_time()
    for _ in range(count):
        act()
    return (time.process_time() - start) / count * 1e6


def cpu_line(name: str, kind: str, folder: Path, loop: str) -> str:
    """Measure one kind of app under uvicorn; give its line of the table."""
    runs: list[tuple[float, float, float]] = []
    with closing(Server(kind, folder / loop / kind, loop)) as server:
        for _ in range(RUNS):
            slices = [[server.cpu_us(path, SLICE) for path in PATHS] for _ in range(SLICES)]
            a, a2, b = (min(side) for side in zip(*slices, strict=True))
            runs.append((a, a2 - a, b - (a + a2) / 2))
    without, chance, added = (statistics.median(side) for side in zip(*runs, strict=True))
    low, high = min(run[2] for run in runs), max(run[2] for run in runs)
    return f"| {name} | {without:.1f} | {added:+.1f} | {low:+.1f} to {high:+.1f} | {chance:+.1f} |"


def process_line(name: str, app: App) -> str:
    """Measure one app in this process; give its line of the table."""
    runs = [
        [min(in_process(one, 500) for _ in range(8)) for one in (bare, app)] for _ in range(RUNS)
    ]
    added = [b - a for a, b in runs]
    without, middle = statistics.median(a for a, _ in runs), statistics.median(added)
    spread = f"{min(added):+.1f} to {max(added):+.1f}"
    return f"| {name} | {without:.1f} | {middle:+.1f} | {spread} | |"


def asked(server: Server, path: str, seconds: float, rate: float | None) -> list[float]:
    """Ask over four connections at once, at a steady rate or as fast as it goes.

    Gives for each answer the seconds from when its request was due, or was sent.
    """
    began, took = time.perf_counter(), []

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(*server.address)
        due = began if rate is None else began + number / rate
        while due < began + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("POST", path, BODY, {"Content-Type": "text/csv"})
            connection.getresponse().read()
            now = time.perf_counter()
            took.append(now - due)
            due = now if rate is None else due + 4 / rate
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.tapped += len(took) if path == TAPPED else 0
    return took


def throughput_lines(folder: Path) -> list[str]:
    """Compare throughput and slowest answers of a handler of 400 microseconds."""
    rates, slowest = [], []
    with closing(Server("burning", folder / "burning")) as server:

        def rate(path: str) -> float:
            return len(asked(server, path, 0.25, None)) / 0.25

        def slow(path: str) -> float:
            return statistics.quantiles(asked(server, path, 1.0, STEADY), n=100)[98] * 1e3

        for _ in range(RUNS):
            rates.append(
                [max(each) for each in zip(*(map(rate, PATHS) for _ in range(6)), strict=True)]
            )
            slowest.append(
                [min(each) for each in zip(*(map(slow, PATHS) for _ in range(4)), strict=True)]
            )
    lines = []
    for name, values, unit in (
        ("requests a second, saturated", rates, ""),
        (f"p99 at {STEADY:,} requests a second", slowest, " ms"),
    ):
        a, a2, b = (statistics.median(side) for side in zip(*values, strict=True))
        spread = sorted(a2_ / a_ for a_, a2_, _ in values)
        ratio = statistics.median(2 * b_ / (a_ + a2_) for a_, a2_, b_ in values)
        lines.append(
            f"| {name} | {a:.2f}{unit} | {b:.2f}{unit} | {ratio:.3f} | "
            f"{a2 / a:.3f} ({spread[0]:.2f} to {spread[-1]:.2f}) |"
        )
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        copied = min(floor(lambda: bytearray(FRAME)) for _ in range(RUNS * 4))
        written = min(floor(lambda: os.write(file, FRAME)) for _ in range(RUNS * 4))
        os.close(file)
        tap = Capture(bare, endpoint="flights", spool_dir=folder / "a")
        out = Capture(bare, spool_dir=folder / "b", route=lambda _: None)
        none = CaptureTarget("flights", sampling_percentage=0)
        unsampled = Capture(bare, spool_dir=folder / "c", route=lambda _: none)
        in_process(tap, 2_000)
        lines = [
            process_line("in process, recorded", tap),
            process_line("in process, not sampled", unsampled),
            process_line("in process, path not recorded", out),
            *(
                cpu_line(f"{loop} and {http}, {name}", kind, folder, loop)
                for loop, http in LOOPS.items()
                for name, kind in (
                    ("bare ASGI, recorded", "asgi"),
                    ("FastAPI, recorded", "fastapi"),
                    ("bundled server, recorded", "bundled"),
                    ("bare ASGI, the least tap", "least-asgi"),
                    ("FastAPI, the least tap", "least-fastapi"),
                )
            ),
        ]
        pressed_lines = throughput_lines(folder)
        if tap.counters["stored"] != tap.counters["requests"]:
            raise SystemExit(f"not everything was recorded: {tap.counters}")
    print("# What the tap costs\n")
    print(
        f"`bench/tap.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}, "
        f"uvicorn, {CONNECTIONS} connections. Request and response of 1 KiB. CPU (user and system) "
        f"of the server in microseconds a request, of {SLICES} alternating slices the lowest; "
        f"`added` is the median of {RUNS} runs, `runs` the lowest and the highest, `A - A` what "
        f"the same app differs "
        f"from itself.\n"
    )
    print("| way | without | added | runs | A - A |\n|---|---:|---:|---:|---:|")
    print("\n".join(lines))
    print(
        f"\nFloor in the same run: copying the {len(FRAME)} bytes {copied:.2f}, appending them "
        f"with one `os.write` {written:.2f}.\n"
    )
    print("| handler of 400 us CPU, 4 connections | without | with | ratio | A / A |")
    print("|---|---:|---:|---:|---:|")
    print("\n".join(pressed_lines))


if __name__ == "__main__":
    main()
