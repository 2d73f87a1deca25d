"""Ground truth files in a bucket: each is read once, and one with an error stops no other."""

import json
import os
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from driftline.capture.labels.ground_truth import load_ground_truth
from driftline.capture.labels.labels import label_folder, put
from driftline.capture.tables.delta_log import read_watermarks
from driftline.capture.tables.table import FILES_KEPT

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
    def run(at: datetime = NOW, since: datetime | None = None) -> int:
        since = since or at - timedelta(hours=1)
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


def test_a_file_that_comes_with_an_older_time_than_those_before_is_loaded(root, upload, load):
    upload("2013/01/15/11/a.jsonl", record("i0", "1"), NOW - timedelta(hours=1))
    first = load()
    upload("2013/01/15/11/moved.jsonl", record("i1", "0"), NOW - timedelta(hours=2))
    upload("2013/01/15/11/copied.jsonl", record("i2", "0"), datetime.fromtimestamp(0, UTC))

    assert (first, load(), load()) == (1, 2, 0)
    assert stored(root) == {"i0": "1", "i1": "0", "i2": "0"}


def test_a_monitor_that_begins_earlier_gets_the_files_before_those_of_another(upload, load):
    upload("2012/12/01/11/old.jsonl", record("i0", "1"), NOW - timedelta(days=45))
    upload("2013/01/15/11/new.jsonl", record("i1", "1"), NOW - timedelta(hours=1))

    assert (load(), load(since=NOW - timedelta(days=45)), load()) == (1, 1, 0)


def test_a_file_that_changes_is_read_again(root, upload, load):
    upload("2013/01/15/11/a.jsonl", record("i0", "1"), NOW - timedelta(hours=1))
    first = load()
    upload("2013/01/15/11/a.jsonl", record("i0", "0"), NOW)

    assert (first, load(), load()) == (1, 1, 0)
    assert stored(root) == {"i0": "0"}


@pytest.mark.parametrize("text", ["{", "", record("i0", "")], ids=["bad", "empty", "no-label"])
def test_a_file_without_labels_is_read_once_until_it_changes(root, upload, load, caplog, text):
    upload("2013/01/15/11/good.jsonl", record("i1", "1"), NOW - timedelta(hours=2))
    upload("2013/01/15/11/a.jsonl", text, NOW - timedelta(hours=1))

    first, logged = load(), caplog.text
    version = label_folder(root, "flights").newest_version()

    assert (first, load()) == (1, 0)
    assert ("a.jsonl" in logged) == (text in ("{", ""))
    assert label_folder(root, "flights").newest_version() == version
    assert caplog.text == logged
    upload("2013/01/15/11/a.jsonl", record("i0", "1"), NOW)
    assert load() == 1


def test_what_was_read_is_forgotten_when_its_folder_is_not_looked_at_any_more(root, upload, load):
    upload("2013/01/15/11/a.jsonl", record("i0", "1"), NOW - timedelta(hours=1))
    load()
    before = read_watermarks(label_folder(root, "flights").catch_up()).stored
    DeltaTable(label_folder(root, "flights").uri).create_checkpoint()

    assert {name.partition("/")[0] for name in before} == {"loads", "file"}
    assert read_watermarks(label_folder(root, "flights").catch_up()).stored == {"loads": 1}
    assert load(NOW + FILES_KEPT, since=NOW) == 0


def test_two_servers_that_read_a_file_at_the_same_time_store_its_labels_once(root):
    labels = pa.table({"key": ["i0"], "label": ["1"]})

    counts = [put(root, "flights", labels, lambda: datetime.now(UTC), "a.jsonl") for _ in "ab"]

    assert [one.stored for one in counts] == [1, 0]


def test_a_place_without_files_has_no_labels(load):
    assert load() == 0
