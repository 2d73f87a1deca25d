"""Log files of workers: bounded, told apart, read from the end, deleted with their endpoint."""

import stat
from datetime import UTC, datetime, timedelta

import pytest

from driftline.serving.hosting.log_file import LARGEST_BYTES, LogFile
from driftline.serving.hosting.log_lines import read_lines

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)


@pytest.fixture
def clock():
    return [NOW]


@pytest.fixture
def held():
    """Return what makes a file that somebody prints to, until the test ends."""
    made = []

    def make(folder, name="blue", **given):
        file = LogFile(folder, name, **given)
        file.hold()
        made.append(file)
        return file

    yield make
    for file in made:
        file.let_go()


@pytest.fixture
def file(held, tmp_path, clock):
    return held(tmp_path / "flights", now=lambda: clock[0])


def messages(folder, **asked):
    return [one.message for one in read_lines(folder, limit=10_000_000, **asked)]


def test_a_file_has_a_size_and_only_one_before_it_is_kept(file, tmp_path):
    for number in range(40):
        file.write(1, [f"{number} {'x' * 8000}"] * 100)

    files = {one.name: one.stat() for one in (tmp_path / "flights").iterdir()}
    assert set(files) == {"blue.0.log", "blue.0.log.1", "blue.0.lock"}
    assert max(one.st_size for one in files.values()) <= LARGEST_BYTES
    assert all(stat.S_IMODE(one.st_mode) & 0o077 == 0 for one in files.values())
    kept = messages(tmp_path / "flights")
    assert kept[0].startswith("39 ")
    assert len(kept) * 8000 < 2 * LARGEST_BYTES


def test_lines_come_newest_first_and_in_pages(file, held, tmp_path, clock):
    other = held(tmp_path / "flights", "green", now=lambda: clock[0])
    for step in range(50):
        clock[0] = NOW + timedelta(seconds=step)
        (file if step % 3 else other).write(step, ["a", "b"])

    whole = read_lines(tmp_path / "flights", limit=1000)
    assert [one.time for one in whole] == sorted((one.time for one in whole), reverse=True)
    assert [(one.worker, one.message) for one in whole[:3]] == [(49, "b"), (49, "a"), (48, "b")]
    walked, before = [], None
    while page := read_lines(tmp_path / "flights", limit=7, before=before):
        walked += page
        before = page[-1].time, page[-1].file
    assert walked == whole
    assert messages(tmp_path / "flights", since=NOW + timedelta(seconds=49)) == ["b", "a"]
    assert len(messages(tmp_path / "flights", variant="Green")) == 34


def test_names_lead_out_of_no_folder(held, tmp_path):
    held(tmp_path, "a/../b").write(1, ["x"])

    assert (tmp_path / "a____b.0.log").exists()


def test_files_are_deleted_when_nobody_prints_any_more(tmp_path):
    file = LogFile(tmp_path / "flights", "blue")
    file.hold()
    file.write(1, ["x"])
    file.remove()
    assert file.path.exists()
    file.write(1, ["last words"])
    file.let_go()

    assert not (tmp_path / "flights").exists()
