"""What workers print: by lines, as text, not without end, in files that go with their endpoint."""

import asyncio
import importlib
import io
import logging
import math
import stat
from datetime import UTC, datetime, timedelta

import joblib
import pytest

from driftline.serving.hosting import worker_output
from driftline.serving.hosting.child import Child, WorkerLostError
from driftline.serving.hosting.worker_output import (
    LARGEST_BYTES,
    LogFile,
    OutputReader,
    read_lines,
)
from driftline.serving.resources.worker_spec import WorkerSpec
from tests.serving.conftest import MODULES

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)
SPEC = WorkerSpec("", name="scoring")


@pytest.fixture(autouse=True)
def _logged(caplog):
    caplog.set_level(logging.INFO, logger=worker_output.__name__)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "flights"


def read(data, spec=SPEC, file=None):
    """Have a worker's output read, by a clock that stands."""
    OutputReader(spec, 4711, file, monotonic=lambda: 1000.0).read(io.BytesIO(data))


def messages(folder, **asked):
    return [one.message for one in read_lines(folder, limit=10_000_000, **asked)]


def test_each_line_is_logged_under_the_models_name(caplog):
    read(b"one\ntwo\r\n\n  \nthree")

    assert caplog.messages == [f"model=scoring printed: {one}" for one in ("one", "two", "three")]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"a\rserver 2026 INFO forged", r"a\rserver 2026 INFO forged"),
        (b"\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\u2028next \u202e \x85end".encode(), r"\u2028next \u202e \x85end"),
        (b"\xff\x00", r"\xff\x00"),
        ("größe 5 µm, 気温".encode(), "größe 5 µm, 気温"),
    ],
)
def test_signs_that_act_on_a_terminal_are_escaped(caplog, line, shown):
    read(line + b"\n")

    assert caplog.messages == [f"model=scoring printed: {shown}"]


def test_lines_are_kept_in_a_file_within_limits_and_counted_beyond(caplog, folder):
    file = LogFile(folder, "AllTraffic")
    read(b"first\n" + b"x" * 100_000 + b"\n" + b"again\n" * 1_000_000, file=file)

    newest, *others = messages(folder)
    assert others[-2:] == ["x" * 8192 + " …", "first"]
    left_out = int(newest.split()[0].replace(",", ""))
    assert newest == f"{left_out:,} lines were printed too fast and left out"
    assert left_out + len(others) == 2 + 1_000_000
    assert len(others) < (4 << 20) / 256
    assert not caplog.messages


def test_a_flood_without_a_file_does_not_fill_the_servers_log(caplog):
    read(b"again\n" * 1_000_000)

    assert len(caplog.messages) == 101
    assert caplog.messages[-1].endswith("999,900 lines were printed too fast and left out")


def test_what_a_command_prints_never_comes_into_the_servers_log(caplog):
    read(b"secret\n", WorkerSpec("", command=("serve",)))

    assert not caplog.messages


def test_a_file_has_a_size_and_only_one_before_it_is_kept(folder):
    file = LogFile(folder, "blue")
    for number in range(40):
        file.write(1, [f"{number} {'x' * 8000}"] * 100)

    files = {one.name: one.stat() for one in folder.iterdir()}
    assert set(files) == {"blue.log", "blue.log.1"}
    assert max(one.st_size for one in files.values()) <= LARGEST_BYTES
    assert all(stat.S_IMODE(one.st_mode) & 0o077 == 0 for one in files.values())
    kept = messages(folder)
    assert kept[0].startswith("39 ")
    assert len(kept) * 8000 < 2 * LARGEST_BYTES


def test_lines_come_newest_first_and_in_pages(folder):
    clock = [NOW]
    files = {name: LogFile(folder, name, now=lambda: clock[0]) for name in ("blue", "green")}
    for step in range(50):
        clock[0] = NOW + timedelta(seconds=step)
        files["blue" if step % 3 else "green"].write(step, ["a", "b"])

    whole = read_lines(folder, limit=1000)
    assert [one.time for one in whole] == sorted((one.time for one in whole), reverse=True)
    assert [(one.worker, one.message) for one in whole[:3]] == [(49, "b"), (49, "a"), (48, "b")]
    walked, before = [], None
    while page := read_lines(folder, limit=7, before=before):
        walked += page
        before = page[-1].time, page[-1].file
    assert walked == whole
    assert messages(folder, since=NOW + timedelta(seconds=49)) == ["b", "a"]
    assert len(messages(folder, variant="Green")) == 34


def test_names_lead_out_of_no_folder(tmp_path):
    LogFile(tmp_path, "a/../b").write(1, ["x"])

    assert (tmp_path / "a____b.log").exists()


def test_what_is_printed_after_the_files_were_deleted_is_dropped(folder):
    file = LogFile(folder, "blue")
    file.write(1, ["x"])
    file.remove()
    file.write(1, ["last words"])

    assert not folder.exists()


def test_whatever_a_worker_prints_until_it_dies_is_logged_as_its_models(
    tmp_path, monkeypatch, caplog, capfd, until
):
    monkeypatch.syspath_prepend(MODULES)
    joblib.dump(importlib.import_module("printing_model").Printing().fit(), tmp_path / "m.joblib")
    spec = WorkerSpec(str(tmp_path / "m.joblib"), trust_pickle=True, name="loud")

    async def act():
        worker = await Child.start(spec, timeout_s=60)
        try:
            assert (await worker.ask("csv", "csv", b"3", math.inf)).body == b"3.0\n"
            with pytest.raises(WorkerLostError):
                await worker.ask("csv", "csv", b"-1", math.inf)
        finally:
            await worker.stop()

    asyncio.run(asyncio.wait_for(act(), 120))
    until(lambda: any("last words" in line for line in caplog.messages))

    once = [
        "2026-01-15 06:00:00 INFO driftline.app.up",
        "process=server forged",
        r"\x1b[31mto standard error",
        "by the descriptor",
        "by a child",
    ]
    said = [line for line in caplog.messages if "printed" in line]
    assert said == [f"model=loud printed: {line}" for line in [*once, *once, "last words"]]
    assert "forged" not in capfd.readouterr().out
