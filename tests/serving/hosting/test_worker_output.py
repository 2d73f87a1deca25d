"""What workers print: by lines, as text, not without end, in files that go with their endpoint."""

import asyncio
import io
import logging
import math
import stat

import pytest

from driftline.serving.hosting import worker_output
from driftline.serving.hosting.child import Child, WorkerLostError
from driftline.serving.hosting.worker_output import LARGEST_BYTES, LogFile, OutputReader, read_lines
from driftline.serving.resources.worker_spec import WorkerSpec
from tests.serving.conftest import saved

SPEC = WorkerSpec("", name="scoring")


@pytest.fixture
def folder(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger=worker_output.__name__)
    return tmp_path / "flights"


def read(data, spec=SPEC, file=None):
    OutputReader(spec, 4711, file).read(io.BytesIO(data))


def messages(folder):
    return [one.message for one in read_lines(folder, limit=10_000_000)]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"one\ntwo\r\n\n  \nthree", ["one", "two", "three"]),
        (b"a\rserver 2026 INFO forged", [r"a\rserver 2026 INFO forged"]),
        (b"\x1b[2J\x1b]0;title\x07\n", [r"\x1b[2J\x1b]0;title\x07"]),
        ("\u2028next \u202e \x85end".encode(), [r"\u2028next \u202e \x85end"]),
        (b"\xff\x00", [r"\xff\x00"]),
        ("größe 5 µm, 気温".encode(), ["größe 5 µm, 気温"]),
    ],
)
def test_each_line_is_logged_and_signs_of_a_terminal_are_escaped(caplog, folder, data, shown):
    read(data)

    assert caplog.messages == [f"model=scoring printed: {one}" for one in shown]


def test_a_flood_fills_neither_a_file_nor_the_servers_log_and_is_counted(caplog, folder):
    flood = b"first\n" + b"x" * 100_000 + b"\n" + b"again\n" * 1_000_000
    read(flood, file=LogFile(folder, "AllTraffic"))

    *others, long, first = messages(folder)
    assert (long, first) == ("x" * 8192 + " …", "first")
    counts = [int(one.split()[0].replace(",", "")) for one in others if "left out" in one]
    assert sum(counts) + others.count("again") == 1_000_000
    assert 0 < others.count("again") < 2 * (4 << 20) / 256
    # What a command prints may be payloads.
    read(b"secret\n", WorkerSpec("", command=("serve",)))
    assert not caplog.messages
    read(flood)
    assert len(caplog.messages) < 130


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
    files = {name: LogFile(folder, name) for name in ("blue", "green")}
    for step in range(50):
        files["blue" if step % 3 else "green"].write(step, ["a", "b"])

    whole = read_lines(folder, limit=1000)
    assert [one.time for one in whole] == sorted((one.time for one in whole), reverse=True)
    assert [(one.worker, one.message) for one in whole[:3]] == [(49, "b"), (49, "a"), (48, "b")]
    for is_newest in (True, False):
        walked, last = [], None
        while page := read_lines(folder, limit=7, after=last, newest_first=is_newest):
            walked += page
            last = page[-1].time, page[-1].file
        assert walked == (whole if is_newest else whole[::-1])
    assert read_lines(folder, limit=99, since=whole[1].time) == whole[:2]
    assert read_lines(folder, limit=999, until=whole[1].time) == whole[2:]
    assert len(read_lines(folder, limit=99, variant="Green")) == 34


def test_files_lie_in_their_folder_and_nothing_is_written_after_they_were_deleted(folder):
    file = LogFile(folder, "a/../b")
    file.write(1, ["x"])
    assert (folder / "a____b.log").exists()

    file.remove()
    file.write(1, ["last words"])

    assert not folder.exists()


def test_whatever_a_worker_prints_until_it_dies_is_logged_as_its_models(
    folder, tmp_path, caplog, capfd, until
):
    file = saved("printing_model", "Printing", tmp_path)
    spec = WorkerSpec(str(file), trust_pickle=True, name="loud")

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
        "2026-01-15 06:00:00 INFO driftline.app.up", "process=server forged",
        r"\x1b[31mto standard error", "by the descriptor", "by a child",
    ]  # fmt: skip
    said = [line for line in caplog.messages if "printed" in line]
    assert said == [f"model=loud printed: {line}" for line in [*once, *once, "last words"]]
    assert "forged" not in capfd.readouterr().out
