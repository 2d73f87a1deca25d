"""Kill -9 of servers and job processes while transform jobs run: every record is written once.

Two servers share a database. Each round creates a job, and kills the job's process, the server that
runs it, or both at once, at random moments until the job has ended; a killed server is started
again. Run: PYTHONPATH=. .venv/bin/python bench/transform_kill.py [ROUNDS] [SEED]
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import joblib

from driftline.app.client.client import Client
from driftline.errors import UnavailableError
from tests.servers.ports import free_port

T = TypeVar("T")
MODULES = Path(__file__).parents[1] / "tests" / "fixtures" / "serving"
FILES, RECORDS, SECONDS = 2, 400, 0.01
VICTIMS = ("job", "server", "both")
DEADLINE_S = 240.0


class Pair:
    """Two servers on one database, started again when they are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, [free_port(), free_port()]
        self.processes: list[subprocess.Popen[bytes]] = []
        for number, port in enumerate(self.ports):
            self._settings(number).write_text(
                f'[storage]\nroot = "{folder}/data"\n[database]\nurl = "sqlite:///{folder}/db"\n'
                f'[server]\nport = {port}\n[capture]\nspool_dir = "{folder}/spool{number}"\n'
                "[serving]\ntrust_pickle = true\n"
            )
            self.processes.append(self._start(number))

    def _settings(self, number: int) -> Path:
        return self.folder / f"driftline-{number}.toml"

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        words = ["-P", "-m", "driftline.app.processes", "server", "--settings"]
        environment = {**os.environ, "PYTHONPATH": str(MODULES)}
        with (self.folder / f"server-{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words, str(self._settings(number))], stdout=log, stderr=log,
                env=environment,
            )  # fmt: skip

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()

    def restart(self, number: int) -> None:
        self.processes[number] = self._start(number)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)

    def ask(self, call: Callable[[Client], T]) -> T:
        """Ask whichever server answers."""
        end = time.monotonic() + DEADLINE_S
        while True:
            for port in self.ports:
                with suppress(UnavailableError), Client(f"http://127.0.0.1:{port}") as client:
                    return call(client)
            assert time.monotonic() < end, "no server answers"
            time.sleep(0.2)


def parent_of(process_id: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def job_processes(name: str) -> list[int]:
    """Return the processes that work on a job."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"driftline.app.transform_process" in words and name.encode() in words:
                found.append(int(folder.name))
    return found


def one_round(pair: Pair, name: str, chance: random.Random, kills: Counter) -> float:
    """Run a job among kills; return the seconds that it took."""
    data, out = pair.folder / f"in-{name}", pair.folder / "data" / "outputs" / name
    data.mkdir()
    texts = {}
    for number in range(FILES):
        lines = [f"{SECONDS + at * 1e-7:.7f}" for at in range(RECORDS)]
        (data / f"{number}.csv").write_text("\n".join(lines) + "\n")
        texts[f"{number}.csv.out"] = "".join(f"{line},0\n" for line in lines)
    spec = {
        "transform_job_name": name, "model_name": "slow", "batch_strategy": "SingleRecord",
        "transform_input": {"data_source": {"s3_data_source": {"s3_uri": str(data)}},
                            "split_type": "Line"},
        "transform_output": {"s3_output_path": str(out), "assemble_with": "Line"},
        "data_processing": {"join_source": "Input"},
    }  # fmt: skip
    began = time.monotonic()
    pair.ask(lambda client: client.create_transform_job(spec))
    for _ in range(chance.randint(1, 3)):
        time.sleep(chance.uniform(0, 8))
        if (running := job_processes(name)) == []:
            # Between two processes, or done: a server is killed all the same.
            number = chance.randrange(2)
            pair.kill(number)
            kills["server without the job"] += 1
        else:
            victim = chance.choice(VICTIMS)
            kills[victim] += 1
            parents = [parent_of(one) for one in running]
            numbers = [at for at, one in enumerate(pair.processes) if one.pid in parents]
            if victim in ("server", "both"):
                for number in numbers:
                    pair.processes[number].kill()
            if victim in ("job", "both"):
                for one in running:
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
        time.sleep(chance.uniform(0, 2))
        for number, process in enumerate(pair.processes):
            if process.poll() is not None:
                pair.restart(number)
    while True:
        job = pair.ask(lambda client: client.transform_job(name))
        if job["transform_job_status"] not in ("InProgress", "Stopping"):
            break
        assert time.monotonic() - began < DEADLINE_S, job
        time.sleep(0.3)
    assert job["transform_job_status"] == "Completed", job
    assert {one.name: one.read_text() for one in out.iterdir()} == texts, name
    assert job["progress"]["records"] == FILES * RECORDS
    return time.monotonic() - began


def main(rounds: int, seed: int) -> None:
    chance, kills, seconds = random.Random(seed), Counter(), []
    sys.path.insert(0, str(MODULES))
    with TemporaryDirectory() as name:
        folder = Path(name)
        joblib.dump(import_module("slow_model").Slow().fit(), folder / "slow.joblib")
        pair = Pair(folder)
        try:
            model = {"path": str(folder / "slow.joblib"), "trust_pickle": True}
            declared = [{"kind": "Model", "name": "slow", "spec": model}]
            pair.ask(lambda client: client.apply(declared))
            for number in range(rounds):
                took = one_round(pair, f"job-{number}", chance, kills)
                seconds.append(took)
                print(f"job {number}: whole after {took:.0f} s", flush=True)
        finally:
            pair.stop()
    print(f"seed {seed}: {rounds} jobs of {FILES} files with {RECORDS} records")
    print(f"kills: {sum(kills.values())}: {dict(kills)}")
    print(f"seconds a job: {min(seconds):.0f} to {max(seconds):.0f}")
    print("every output is what an undisturbed job writes, byte for byte")


if __name__ == "__main__":
    main(*(int(one) for one in [*sys.argv[1:], *("20", "7")[len(sys.argv) - 1 :]]))
