"""Cuts the power of a disk at random moments, and compares what is left with what was promised.

    sudo python bench/power_cuts.py 200

Needs Linux, root, loop devices and ext4. Two servers capture, a sink stores, compacts and a client
loads labels, all on a small ext4 volume. At a random moment the volume is shut down without its
journal being flushed (FS_IOC_SHUTDOWN, as xfstests does it), the processes are killed, and the
volume is mounted again: what was not synced is gone, or there in part. Then the sink starts anew.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from starlette.types import Message, Receive, Scope, Send

from driftline.capture.audit.audit import audit
from driftline.capture.audit.note import document_of, write_note
from driftline.capture.audit.report import report
from driftline.capture.labels.labels import label_folder, put
from driftline.capture.line.sink import Sink
from driftline.capture.line.table_maintenance import TableMaintenance
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool import folder as spool_folder
from driftline.capture.spool import reader
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tap.tap import Capture
from driftline.signature import Column, Signature

SIGNATURE = Signature(
    (Column("temp", "feature_temp", "double"),),
    (Column("prediction", "prediction", "int64", role="prediction"),),
)
SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, 2
OPTIONS = ("commit=1", "commit=1,noauto_da_alloc", "commit=5")
CUTS_A_VOLUME = 20
Line = dict[str, Any]


def fork(work: Callable[[], None]) -> int:
    """Run something in a child, which is cheaper than a new interpreter; return its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the disk is gone, or the work has failed.
            if not isinstance(error, OSError):
                print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def serve(disk: Path, acknowledged: Path, boot: str, name: str) -> None:
    """Answer requests one after the other, and note each answer with its time."""
    use_boot(boot)

    async def model(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-type", b"text/csv"), (b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"1"})

    app = Capture(model, endpoint="flights", spool_dir=disk / "spool")
    log = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def ask(key: str) -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"2.5", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                os.write(log, f"{key} {time.time()}\n".encode())

        headers = [(b"content-type", b"text/csv"), (b"x-amzn-sagemaker-inference-id", key.encode())]
        await app(
            {"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send
        )

    async def run() -> None:
        for number in range(1_000_000):
            await ask(f"{name}-{number}")
            await asyncio.sleep(0.004)

    asyncio.run(run())


def store(disk: Path, boot: str, commit_interval_s: float) -> None:
    """Store what is captured, compact small files, for as long as the disk is there."""
    use_boot(boot)
    stop = threading.Event()
    maintenance = TableMaintenance(str(disk / "root"), disk / "names", interval_s=0.2)
    threading.Thread(target=maintenance.run, args=(stop,), daemon=True).start()
    sink = Sink(
        str(disk / "root"), LocalTransport(disk / "spool"), lambda _: SIGNATURE,
        commit_interval_s=commit_interval_s, poll_s=0.01,
    )  # fmt: skip
    sink.run(stop)


def label(disk: Path, acknowledged: Path, name: str) -> None:
    """Load labels, ten at a time, and note each load that was taken."""
    log = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(1_000_000):
        keys = [f"label-{name}-{number}-{row}" for row in range(10)]
        put(str(disk / "root"), "flights", pa.table({"key": keys, "label": ["1"] * 10}), clock)
        os.write(log, "".join(f"{key} {time.time()}\n" for key in keys).encode())
        time.sleep(0.05)


def recover(disk: Path, boot: str, result: Path) -> None:
    """Start anew, and write down what is there."""
    use_boot(boot)
    root = str(disk / "root")
    transport = LocalTransport(disk / "spool")
    Sink(root, transport, lambda _: SIGNATURE).step()
    transport.close()
    maintenance = TableMaintenance(root, disk / "names")
    maintenance.step()
    maintenance.close()
    data, labels = Dataset(root, "flights").open(), label_folder(root, "flights").open()
    found = audit(root, now=clock, spool_dir=disk / "spool")
    write_note(root, document_of(found))
    told = report(root, "flights", now=clock())
    document = {
        "ids": [] if data is None else data.to_table(["inference_id"])["inference_id"].to_pylist(),
        "labels": [] if labels is None else labels.to_table(["key"])["key"].to_pylist(),
        "adds_up": found.adds_up,
        "missing": found.missing,
        "doubled": found.doubled,
        "coverage": told.overall.ratio,
        "gaps": told.uncounted,
        "replaced": sum(1 for _ in (disk / "root").rglob("*.json.damaged")),
    }
    result.write_text(json.dumps(document))


def use_boot(boot: str) -> None:
    """Take another boot's id, as the kernel has after a loss of power."""
    spool_folder.boot_id = reader.boot_id = lambda: boot


def clock() -> datetime:
    return datetime.now(UTC)


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def times_of(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    pairs = (line.split() for line in path.read_text().splitlines())
    return {key: float(at) for key, at in pairs}


class Volume:
    """An ext4 volume in a file, and what was promised of it by all that has run on it."""

    def __init__(self, work: Path, number: int) -> None:
        self.image, self.disk = work / f"{number}.img", work / f"{number}"
        self.answers, self.loads = work / f"{number}.answers", work / f"{number}.loads"
        self.result = work / f"{number}.result"
        self.disk.mkdir()
        with self.image.open("wb") as file:
            file.truncate(256 << 20)
        run("mkfs.ext4", "-q", self.image)
        self.excused: set[str] = set()
        self.gaps = 0

    def cut(self, number: int, chance: random.Random) -> Line:
        """Work for a while, cut the power, start anew; return what was found."""
        run("mount", "-o", f"loop,{OPTIONS[number % len(OPTIONS)]}", self.image, self.disk)
        boot = str(uuid.UUID(int=chance.getrandbits(128)))
        children = [
            fork(lambda: store(self.disk, boot, 0.05 if number % 2 else 1.0)),
            fork(lambda: serve(self.disk, self.answers, boot, f"a{number}")),
            fork(lambda: label(self.disk, self.loads, str(number))),
        ]
        time.sleep(chance.uniform(0.2, 1.0))
        children.append(fork(lambda: serve(self.disk, self.answers, boot, f"b{number}")))
        time.sleep(chance.uniform(0.0, 1.5))
        descriptor = os.open(self.disk, os.O_RDONLY)
        fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        at = time.time()
        os.close(descriptor)
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        run("umount", self.disk)
        run("mount", "-o", "loop", self.image, self.disk)
        again = str(uuid.UUID(int=chance.getrandbits(128)))
        _, status = os.waitpid(fork(lambda: recover(self.disk, again, self.result)), 0)
        run("umount", self.disk)
        if status:
            return {"failed": 1}
        return self.judge(at)

    def judge(self, at: float) -> Line:
        """Compare what is there with what was promised."""
        found = json.loads(self.result.read_text())
        times = times_of(self.answers)
        # What is noted between the cut and the kill was answered without a disk.
        self.excused |= {key for key, t in times.items() if t >= at}
        answers = {key: t for key, t in times.items() if key not in self.excused}
        loads = {key for key, t in times_of(self.loads).items() if t < at}
        ids = set(found["ids"])
        absent = answers.keys() - ids
        self.excused |= absent
        is_shown = found["gaps"] > self.gaps and found["coverage"] < 1.0
        self.gaps = found["gaps"]
        return {
            "failed": 0,
            "answered": len(answers),
            "labels": len(loads),
            "absent": len(absent),
            "oldest_s": round(max((at - answers[key] for key in absent), default=0.0), 2),
            "labels_lost": len(loads - set(found["labels"])),
            "doubled": len(found["ids"]) - len(ids),
            "unbalanced": int(not found["adds_up"]),
            "hidden": 0 if is_shown else len(absent),
            "replaced": found["replaced"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cuts", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    keys = ("failed", "absent", "hidden", "labels_lost", "doubled", "unbalanced")
    oldest_s = 0.0
    sums: Line = dict.fromkeys((*keys, "answered", "labels", "replaced"), 0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.cuts):
            if number % CUTS_A_VOLUME == 0:
                volume, last = Volume(Path(folder), number), {}
            line = volume.cut(number, chance)
            for key in keys:
                sums[key] += line.get(key, 0)
            for key in ("answered", "labels", "replaced"):  # Sums of the volume.
                sums[key] += line.get(key, 0) - last.get(key, 0) if key in line else 0
            # What was absent before is not among the answers of the volume any more.
            sums["answered"] += last.get("absent", 0) if "answered" in line else 0
            oldest_s = max(oldest_s, line.get("oldest_s", 0.0))
            last = line if "answered" in line else last
            print(number, json.dumps(line), flush=True)
    print(f"{options.cuts} cuts, seed {options.seed}:", json.dumps({**sums, "oldest_s": oldest_s}))


if __name__ == "__main__":
    main()
