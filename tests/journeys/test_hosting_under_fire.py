"""Callers of a good endpoint, while workers and servers are killed and bad models come and go.

Each campaign asks some thousand times, checks every answer against the model itself, and wants no
call failed and none wrong. Where the server itself is killed, calls may find nobody.
"""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import skops.io

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.resources import resource
from tests.kit.waiting import wait

pytestmark = [pytest.mark.slow, pytest.mark.full]

CALLS = 4_000
CALLERS = 4
FEATURES = ["km", "rain_mm"]
PAST = labelled(stream(ORDERS, rows=2_000, seed=1))
MODEL = fit(PAST)
ROWS = stream(ORDERS, rows=200, seed=2)[FEATURES]
LINES = [line.encode() for line in ROWS.to_csv(index=False, header=False).splitlines()]
EXPECTED = [str(one) for one in MODEL.predict(ROWS)]

# Code of models: what is done when one is loaded, and what at a request.
AT_LOAD = {
    "raises": "raise ValueError('no')",
    "exits": "import os; os._exit(3)",
    "hangs": "import time; time.sleep(3600)",
    "spins": "while True: pass",
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
}
AT_REQUEST = {
    "exits": "os._exit(3)",
    "leaves": "raise SystemExit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "hangs": "time.sleep(3600)",
    "spins": "while True: pass",
    "dies": "os.kill(os.getpid(), signal.SIGKILL)",
    "kills its parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "kills its group": "os.killpg(0, signal.SIGKILL)",
    "ignores signals": "[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(3600)",
    "eats memory": "global kept; kept = [bytearray(b'x' * 10**8) for _ in range(15)]",
    "closes files": "os.closerange(0, 256)",
    "spoils files": "[spoil(number) for number in range(256)]",
    "forks": "[os.fork() or time.sleep(3600) for _ in range(20)]",
    "starts threads": "[threading.Thread(target=hang).start() for _ in range(200)]",
    "recurses": "f = lambda: f(); f()",
    "answers a flood": "return b'x' * 10**8, 'text/csv'",
    "answers nonsense": "return object()",
    "prints a flood": "[print('x' * 10**6) for _ in range(200)]",
    "prints bytes": "os.write(2, bytes(range(256)) * 4096)",
    "opens no file": "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
    "leaves its session": "subprocess.Popen(['sleep', '3601.25'], start_new_session=True)",
    "forgets modules": "sys.modules.clear()",
}  # fmt: skip
# No other process of the machine is started so.
SLEEPER = b"3601.25"
CODE = """
import os, resource, signal, subprocess, sys, threading, time

def spoil(number):
    try:
        os.write(number, b"spoiled" * 100)
    except OSError:
        pass

def hang():
    time.sleep(3600)

def model_fn(folder):
    {load}

def input_fn(body, content_type):
    return body

def predict_fn(rows, model):
    {request}

def output_fn(found, accept):
    return found if isinstance(found, tuple) else (str(found), "text/csv")
"""


class Callers:
    """Threads that ask an endpoint again and again, and count what they were answered."""

    def __init__(self, shop: Installation, endpoint: str) -> None:
        self.statuses: Counter[object] = Counter()
        self.wrong = 0
        self.refusals: list[str] = []
        self._url = f"{shop.url}/endpoints/{endpoint}/invocations"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CALLERS)]

    @property
    def calls(self) -> int:
        return self.statuses.total()

    @contextmanager
    def asking(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def have(self, calls: int) -> None:
        """Wait until so many calls were made."""
        wait(lambda: self.calls >= calls, within_s=600)

    def _run(self, number: int) -> None:
        headers = {"content-type": "text/csv", "accept": "text/csv"}
        at = number
        with httpx.Client(timeout=120, headers=headers, trust_env=False) as client:
            while not self._stop.is_set():
                at = (at + CALLERS) % len(LINES)
                try:
                    answer = client.post(self._url, content=LINES[at])
                except httpx.TransportError as error:
                    self.statuses[type(error).__name__] += 1
                    continue
                self.statuses[answer.status_code] += 1
                if not answer.is_success:
                    self.refusals.append(answer.text)
                is_right = answer.text.split(",")[0].strip() == EXPECTED[at]
                self.wrong += answer.status_code == 200 and not is_right


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with an endpoint of two workers."""
    settings = "[serving]\ntrust_pickle = true\ntimeout_s = 15"
    folder = tmp_path_factory.mktemp("fire")
    with Installation(folder, settings, words=("--only", "server")) as found:
        skops.io.dump(MODEL, folder / "good.skops")
        found.apply(model(folder, "good.skops"), endpoint("good", "good", workers=2))
        wait(lambda: found.is_answering("good", LINES[0]))
        yield found


def model(folder: Path, file: str, name: str = "good") -> dict[str, object]:
    return resource("Model", name, path=str(folder / file))


def endpoint(name: str, of: str, workers: int = 1) -> dict[str, object]:
    variant = {"variant_name": "all", "model_name": of, "initial_instance_count": workers}
    return resource("Endpoint", name, production_variants=[variant])


def bad(folder: Path, name: str, load: str = "return None", request: str = "return None") -> str:
    """Write an archive of a model that misbehaves; return its file's name."""
    code = CODE.format(load=load, request=request).encode()
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as packed:
        info = tarfile.TarInfo("code/inference.py")
        info.size = len(code)
        packed.addfile(info, io.BytesIO(code))
        packed.add(folder / "good.skops", "model.skops")
    return f"{name}.tar.gz"


@contextmanager
def unharmed_callers(shop: Installation) -> Iterator[Callers]:
    """Ask the good endpoint meanwhile, at least ``CALLS`` times: none may fail or be wrong."""
    callers = Callers(shop, "good")
    with callers.asking():
        callers.have(100)
        yield callers
        callers.have(CALLS)
    assert set(callers.statuses) == {200}, callers.refusals[:5]
    assert callers.wrong == 0


def test_workers_are_killed(shop: Installation) -> None:
    killed: set[int] = set()
    with unharmed_callers(shop) as callers:
        for _ in range(20):
            callers.have(callers.calls + CALLS // 20)
            victim = wait(lambda: workers(shop) - killed).pop()
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)


@pytest.mark.parametrize("what", AT_LOAD)
def test_a_bad_version_comes_over_a_good_one(shop: Installation, what: str) -> None:
    file = bad(shop.folder, f"load-{what}", load=AT_LOAD[what])
    with unharmed_callers(shop) as callers:
        (shop.folder / "version.json").write_text(json.dumps(model(shop.folder, file)))
        shop.cli("apply", "-f", "version.json", "--no-wait")
        callers.have(callers.calls + CALLS // 2)
        shop.apply(model(shop.folder, "good.skops"))


def test_another_endpoint_is_deleted_and_comes_back(shop: Installation) -> None:
    shop.apply(endpoint("other", "good"))
    wait(lambda: shop.is_answering("other", LINES[0]))
    others = Callers(shop, "other")
    with unharmed_callers(shop), others.asking():
        for _ in range(7):
            shop.done("delete", "Endpoint", "other")
            shop.apply(endpoint("other", "good"))
            others.have(others.calls + 200)
    shop.done("delete", "Endpoint", "other")
    assert set(others.statuses) <= {200, 404, 503}
    assert others.wrong == 0


@pytest.mark.parametrize("what", AT_REQUEST)
def test_a_hostile_model_lives_beside(shop: Installation, what: str) -> None:
    file = bad(shop.folder, "hostile", request=AT_REQUEST[what])
    with unharmed_callers(shop):
        shop.apply(model(shop.folder, file, "hostile"), endpoint("hostile", "hostile"))
        for _ in range(3):
            shop.invoke("hostile", LINES[0])
        shop.done("delete", "Endpoint", "hostile")
        shop.done("delete", "Model", "hostile")


def test_the_server_is_killed(shop: Installation) -> None:
    callers = Callers(shop, "good")
    with callers.asking():
        for _ in range(8):
            callers.have(callers.calls + 100)
            shop.kill("server")
            wait(lambda: shop.is_answering("good", LINES[0]), within_s=120)
        wait(lambda: callers.statuses[200] >= CALLS, within_s=600)
    nobody = {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError"}
    assert set(callers.statuses) <= {200, 503, *nobody}
    assert callers.wrong == 0


def test_nothing_is_left_running(shop: Installation) -> None:
    shop.done("delete", "Endpoint", "good")
    wait(lambda: not {"worker", "sleep"} & set(shop.processes().values()), within_s=120)
    assert not [line for line in command_lines() if SLEEPER in line]


def workers(shop: Installation) -> set[int]:
    """Number the processes that models run in."""
    return {number for number, name in shop.processes().items() if name == "worker"}


def command_lines() -> Iterator[bytes]:
    """Read the command line of every process there is."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # It has ended meanwhile.
            yield file.read_bytes()
