"""Ground truth files in a bucket: each is read once, and one with an error stops no other."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from driftline.capture.labels.ground_truth import load_ground_truth
from driftline.capture.labels.labels import label_folder

NOW = datetime(2013, 1, 15, 12, 30, tzinfo=UTC)


def record(key: str, label: str) -> str:
    data = {"data": label, "encoding": "CSV"}
    found = {"groundTruthData": data, "eventMetadata": {"eventId": key}, "eventVersion": "0"}
    return json.dumps(found) + "\n"


@pytest.fixture
def upload(tmp_path):
    def put(name: str, text: str, at: datetime) -> None:
        file = tmp_path / "truth" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (at.timestamp(), at.timestamp()))

    return put


@pytest.fixture
def load(tmp_path, root):
    def run(at: datetime = NOW) -> int:
        since = at - timedelta(hours=1)
        return load_ground_truth(root, "flights", str(tmp_path / "truth"), since, lambda: at)

    return run


def stored(root: str) -> dict[str, str]:
    data = label_folder(root, "flights").catch_up().open()
    rows = [] if data is None else data.to_table().sort_by("load_number").to_pylist()
    return {row["key"]: row["label"] for row in rows}


def test_files_are_loaded_once_as_they_come(root, upload, load):
    upload("2013/01/15/11/a.jsonl", record("i0", "1") + record("i1", "0"), NOW - timedelta(hours=1))
    first, again = load(), load()
    upload("2013/01/15/12/b.jsonl", record("i1", "1"), NOW + timedelta(minutes=1))
    second = load(NOW + timedelta(minutes=2))

    assert (first, again, second) == (2, 0, 1)
    assert stored(root) == {"i0": "1", "i1": "1"}


def test_a_file_that_is_written_now_waits_for_others_of_its_second(upload, load):
    upload("2013/01/15/12/a.jsonl", record("i0", "1"), NOW)

    assert (load(), load(NOW + timedelta(seconds=3))) == (0, 1)


def test_a_file_with_an_error_is_left_out(root, upload, load, caplog):
    upload("2013/01/15/11/bad.jsonl", "{", NOW - timedelta(hours=1))
    upload("2013/01/15/11/good.jsonl", record("i0", "1"), NOW - timedelta(hours=1))

    assert load() == 1
    assert stored(root) == {"i0": "1"}
    assert "bad.jsonl" in caplog.text


def test_a_place_without_files_has_no_labels(load):
    assert load() == 0
