"""After a loss of power: what was acknowledged is there, or counted as lost and shown."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.capture.audit.audit import audit
from driftline.capture.audit.report import report
from driftline.capture.labels.labels import label_folder, put
from driftline.capture.line.sink import Sink
from driftline.capture.line.table_maintenance import TableMaintenance
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool import reader
from driftline.capture.spool.host_counts import read_counts
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.signature import Signature
from tests.capture.power_cut import Disk
from tests.sinking import sink_all

NOW = datetime(2013, 1, 16, tzinfo=UTC)
Write = Callable[..., bool]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = Disk(folder, monkeypatch)
    yield disk
    disk.close()


@dataclass
class Cut:
    """A disk after a loss of power, and what had been promised of it by then."""

    folder: Path
    answered: frozenset[str]
    stored: frozenset[str]
    labelled: frozenset[str]


@dataclass
class Work:
    """Requests that are answered, stored and labelled while the power may go at each sync."""

    disk: Disk
    signature: Signature
    write: Write
    answered: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    labelled: set[str] = field(default_factory=set)

    def run(self, rounds: int) -> None:
        """Do the work; segments are small, so that many are removed meanwhile."""
        spool_dir, root = self.disk.folder / "spool", str(self.disk.folder / "root")
        transport = LocalTransport(spool_dir, sync_interval_s=0)
        sink = Sink(root, transport, lambda _: self.signature)
        for number in range(rounds):
            writer = SpoolWriter(spool_dir, segment_bytes=2_000)
            writer.traffic.slot("flights")  # As the tap does.
            for request in range(8):
                name = f"r{number}-{request}"
                assert self.write(writer, event_id=name)
                self.answered.add(name)
            sink.step()
            self.stored |= self.answered
            labels = {"key": sorted(self.answered), "label": ["1"] * len(self.answered)}
            put(root, "flights", pa.table(labels), lambda: NOW)
            self.labelled |= self.answered
            assert self.write(writer, event_id=f"late-{number}")
            self.answered.add(f"late-{number}")
            self.disk.on_sync()
            if number % 2:
                writer.close()
        transport.close()


def check(cut: Cut, signature: Signature) -> None:
    """Start anew on what is left, as after a power cut, and compare it with what was promised."""
    root, spool_dir = str(cut.folder / "root"), cut.folder / "spool"
    sink_all(root, spool_dir, lambda _: signature)
    maintenance = TableMaintenance(root, cut.folder / "names")
    maintenance.step()
    maintenance.close()

    data = Dataset(root, "flights").open()
    ids = [] if data is None else data.to_table(["event_id"])["event_id"].to_pylist()
    labels = label_folder(root, "flights").open()
    keys = set() if labels is None else set(labels.to_table(["key"])["key"].to_pylist())
    found = audit(root, now=lambda: NOW, spool_dir=spool_dir)
    coverage = report(root, "flights", now=NOW, counts=read_counts(spool_dir)).overall.ratio
    assert cut.stored <= set(ids), sorted(cut.stored - set(ids))
    assert cut.labelled <= keys
    assert len(ids) == len(set(ids)), "stored twice"
    assert found.adds_up, (found.missing, found.doubled, found.damaged)
    if cut.answered - set(ids):
        assert coverage is None or coverage < 1, "rows are missing"


@pytest.mark.parametrize(
    ("seed", "keeps_some"), [pytest.param(0, False, marks=pytest.mark.full), (1, True)]
)
def test_what_was_acknowledged_is_there_or_counted_after_a_power_cut(
    tmp_path: Path,
    disk: Disk,
    signature: Signature,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    seed: int,
    keeps_some: bool,
) -> None:
    cuts: list[Cut] = []
    chance = random.Random(seed) if keeps_some else None
    every = random.Random(seed)
    work = Work(disk, signature, write)

    def cut() -> None:
        if every.random() < 0.1:
            folder = disk.cut(tmp_path / f"cut-{len(cuts)}", chance)
            promised = (work.answered, work.stored, work.labelled)
            cuts.append(Cut(folder, *map(frozenset, promised)))

    disk.on_sync = cut
    work.run(rounds=8 if pytestconfig.getoption("full") else 4)
    disk.on_sync = lambda: None
    monkeypatch.setattr(reader, "boot_id", lambda: "another boot")

    assert len(cuts) > 10
    for made in cuts:
        check(made, signature)
