"""Erasure: what is stored under an id goes from every byte under the root, and does not return."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from driftline.capture.erasure import expunging
from driftline.capture.erasure.erasing import EndpointErased, Erased, erase
from driftline.capture.erasure.erasures import (
    erased_sequences,
    erasure_counts,
    forget,
    open_requests,
    record_requests,
    requests_folder,
)
from driftline.capture.labels.labels import label_folder, put
from driftline.capture.line.sink import Sink
from driftline.capture.line.table_maintenance import NAMES, TableMaintenance
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
from tests.capture.conftest import SIGNATURE, record

Drain = Callable[..., Sink]
Erase = Callable[..., Erased]
DAY = datetime(2026, 1, 15, 12, tzinfo=UTC)
NOW = DAY + timedelta(days=2)
KEEP = timedelta(days=30)
# What may stand nowhere afterwards: the id, and what only this request's bodies hold.
ID, SECRET = "person-0042@example.org", b"7777.125"


@pytest.fixture
def stored(root: str, spool_dir: Path, drain: Drain) -> SpoolWriter:
    """Store 20 requests in 4 commits; one of two rows has the id, another of its own event id."""
    writer = SpoolWriter(spool_dir)
    for number in range(20):
        body, answer = b"1.5,%d,UA" % number, b"1,0.25"
        if number == 7:
            body, answer = SECRET + b",3,UA\n2.5,4,DL", b"1,0.25\n0,0.5"
        name = ID if number == 7 else f"other-{number}"
        record(writer, body, answer, event_id=f"e{number}", inference_id=name, at=DAY)
        if number % 5 == 4:
            drain()
    labels = pa.table({"key": ["e7", ID, "e8", "other-9"], "label": ["1", "0", "1", "0"]})
    put(root, "flights", labels, lambda: DAY)
    return writer


@pytest.fixture
def ask(root: str, spool_dir: Path) -> Erase:
    def run(*inference_ids: str, event_ids: tuple[str, ...] = (), dry_run: bool = False) -> Erased:
        return erase(
            root,
            spool_dir / NAMES,
            {"inference_id": inference_ids, "event_id": event_ids},
            now=NOW,
            keep=KEEP,
            spool_dir=spool_dir,
            dry_run=dry_run,
        )

    return run


def files_with(root: str, *texts: bytes) -> list[Path]:
    """Name the files under the root whose bytes, or whose Parquet values, hold one of the texts."""
    found = []
    for path in Path(root).rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pl.read_parquet(path, hive_partitioning=False).to_dicts()).encode()
        if any(text in content for text in texts):
            found.append(path)
    return found


def events(root: str) -> list[str]:
    found: list[str] = pl.read_delta(Dataset(root, "flights").uri)["event_id"].to_list()
    return sorted(found)


def test_rows_bodies_and_labels_go_from_every_file(
    root: str, stored: SpoolWriter, ask: Erase
) -> None:
    # Left over by a compaction, and with the rows in it.
    compact(Dataset(root, "flights"), "2026-02-01")
    assert len(files_with(root, ID.encode(), SECRET)) >= 3

    found = ask(ID)

    assert found.endpoints == {"flights": EndpointErased(requests=1, rows=2, labels=2, files=3)}
    assert (found.asked, found.unknown, found.until) == (1, 0, NOW + KEEP)
    assert files_with(root, ID.encode(), SECRET) == []
    assert events(root) == sorted(f"e{number}" for number in range(20) if number != 7)
    truth = pl.read_delta(label_folder(root, "flights").uri)
    assert sorted(truth["key"]) == ["e8", "other-9"]


def test_erasures_at_once_each_remove_their_rows(
    root: str, stored: SpoolWriter, ask: Erase
) -> None:
    names = [f"other-{number}" for number in range(20) if number % 5 < 2 and number != 7]

    with ThreadPoolExecutor(len(names)) as pool:
        erased = list(pool.map(ask, names))

    assert [one.endpoints["flights"].requests for one in erased] == [1] * len(names)
    assert files_with(root, *(f"'{name}'".encode() for name in names)) == []
    assert len(events(root)) == 21 - len(names)


def test_what_was_erased_is_known_by_its_number_alone(
    root: str, stored: SpoolWriter, ask: Erase
) -> None:
    ask(ID)
    ask(ID)

    assert {spool: seqs.tolist() for spool, seqs in erased_sequences(root).items()} == {
        stored.spool_id: [8]
    }
    assert erasure_counts(root) == {"flights": 1}


def test_a_dry_run_counts_and_changes_nothing(root: str, stored: SpoolWriter, ask: Erase) -> None:
    before = {path: path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}

    found = ask(ID, dry_run=True)

    assert found.endpoints == {"flights": EndpointErased(requests=1, rows=2, labels=2, files=2)}
    assert found.until is None
    assert {path: path.read_bytes() for path in Path(root).rglob("*") if path.is_file()} == before


def test_an_id_that_is_nowhere_is_no_error_and_is_met_when_it_comes(
    root: str, spool_dir: Path, stored: SpoolWriter, ask: Erase, drain: Drain
) -> None:
    found = ask("nobody")

    assert (found.endpoints, found.unknown) == ({}, 1)
    record(stored, event_id="late", inference_id="nobody", at=DAY)
    record(stored, event_id="kept", inference_id="somebody", at=DAY)
    drain()
    assert "late" not in events(root) and "kept" in events(root)
    assert erased_sequences(root)[stored.spool_id].tolist() == [21]


def test_an_event_id_takes_its_labels_and_leaves_those_of_others(
    root: str, stored: SpoolWriter, ask: Erase, drain: Drain
) -> None:
    record(stored, event_id="twin", inference_id="other-9", at=DAY)
    drain()

    found = ask(event_ids=("e8", "twin"))

    # The label under "other-9" is that of e9, too.
    assert found.endpoints == {"flights": EndpointErased(requests=2, rows=2, labels=1, files=3)}
    assert ask(event_ids=("e9",)).endpoints["flights"].labels == 1


def test_what_the_sink_could_not_see_is_removed_by_the_upkeep(
    root: str, spool_dir: Path, stored: SpoolWriter, ask: Erase, drain: Drain
) -> None:
    maintenance = TableMaintenance(root, spool_dir / NAMES, now=lambda: NOW)
    maintenance.step()
    ask(ID, "inner")
    # An id inside of a body, and labels that come weeks later.
    body = json.dumps({"who": "inner", "temp": 1.5, "Dep Delay": 1, "carrier": "UA"})
    kinds = {"request_content_type": "application/json"}
    record(stored, body.encode(), event_id="late", at=DAY, **kinds)
    drain(replace(SIGNATURE, inference_id="who"))
    assert "late" in events(root)
    labels = pa.table({"key": [ID, "e7", "e3"], "label": ["1", "1", "1"]})
    put(root, "flights", labels, lambda: NOW)

    maintenance.step()
    maintenance.close()

    truth = pl.read_delta(label_folder(root, "flights").uri)
    assert sorted(truth["key"]) == ["e3", "e8", "other-9"]
    assert files_with(root, ID.encode()) == []
    assert "late" not in events(root)
    assert maintenance.counters["erased"] == 3


def test_a_new_process_goes_on_where_the_last_one_stood(
    root: str, spool_dir: Path, stored: SpoolWriter, ask: Erase
) -> None:
    ask(ID)
    for _ in range(2):
        maintenance = TableMaintenance(root, spool_dir / NAMES, now=lambda: NOW)
        maintenance.step()
        maintenance.close()
        folder = requests_folder(root)
        folder.catch_up()
        seen = folder.watermark("seen/capture/flights") - 1
    records = Dataset(root, "flights")
    records.catch_up()

    assert records.table is not None
    assert seen == records.table.version()


def test_requests_are_kept_as_hashes_and_forgotten_with_their_key(
    root: str, stored: SpoolWriter, ask: Erase
) -> None:
    ask(ID)
    folder = requests_folder(root)
    wanted = open_requests(folder)

    assert wanted.matches("flights", pa.array([ID, "x", None]), "inference_id").tolist() == [
        True, False, False,
    ]  # fmt: skip
    assert not wanted.matches("flights", pa.array([ID]), "event_id").any()
    assert files_with(root, ID.encode()) == []
    assert forget(folder, NOW) == 0
    assert forget(folder, NOW + KEEP) >= 1
    assert not open_requests(folder)
    ask("again")
    assert open_requests(folder).key not in (b"", wanted.key)


def test_documents_that_point_at_erased_rows_do_not_name_them(
    root: str, stored: SpoolWriter, ask: Erase
) -> None:
    folder = Path(root, "executions", "quality", "20260115T120000Z", "1")
    folder.mkdir(parents=True)
    rows = [{"event_id": "e7", "row_index": 1}, {"event_id": "e70", "row_index": 0}]
    report = {"rows": rows, "stray_label_ids": [ID]}
    (folder / "report.json").write_text(json.dumps(report))

    found = ask(ID)

    said = json.loads((folder / "report.json").read_text())
    assert found.documents == 1
    assert said["stray_label_ids"] == ["(erased)"]
    assert [row["event_id"] for row in said["rows"]] == ["(erased)", "e70"]


def test_an_erasure_that_was_killed_half_way_is_ended_by_the_next_one(
    root: str, stored: SpoolWriter, ask: Erase, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(root, "executions", "quality", "20260115T120000Z", "1")
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"rows": [{"event_id": "e7"}]}))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # Just after rows went for good: nobody knows any more that e7 and the id are the same.
    with monkeypatch.context() as patch:
        patch.setattr(expunging, "_clear_left_over", killed)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                ask(event_ids=("e7",))
    ask(event_ids=("e7",))

    assert "e7" not in (folder / "report.json").read_text()
    assert "e7" not in events(root)
    assert files_with(root, SECRET, ID.encode()) == []


def test_documents_of_what_came_later_do_not_name_it(
    root: str, spool_dir: Path, stored: SpoolWriter, drain: Drain
) -> None:
    maintenance = TableMaintenance(root, spool_dir / NAMES, now=lambda: NOW)
    maintenance.step()
    record(stored, event_id="later", at=DAY)
    drain()
    folder = Path(root, "executions", "quality", "20260115T120000Z", "1")
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"rows": [{"event_id": "later"}]}))
    # As of one who asked while the sink was committing.
    record_requests(root, {"event_id": ["later"]}, None, now=NOW, keep=KEEP)

    maintenance.step()

    assert "later" not in events(root)
    assert "later" not in (folder / "report.json").read_text()


def test_only_the_endpoint_that_is_named_is_touched(
    root: str, spool_dir: Path, drain: Drain, stored: SpoolWriter
) -> None:
    record(stored, endpoint="hotels", event_id="h1", inference_id=ID, at=DAY)
    drain()
    found = erase(
        root, spool_dir / NAMES, {"inference_id": [ID]}, now=NOW, keep=KEEP, endpoint="hotels"
    )

    assert list(found.endpoints) == ["hotels"]
    assert "e7" in events(root)
    assert pl.read_delta(Dataset(root, "hotels").uri).is_empty()
