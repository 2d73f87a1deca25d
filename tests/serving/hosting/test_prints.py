"""Prints of models in the log: by lines, with the name, as text, and not without end."""

import asyncio
import importlib
import logging
import math
import os
import threading
from pathlib import Path

import joblib
import pytest

from driftline.serving.hosting import prints
from driftline.serving.hosting.child import Child, Launch, WorkerLostError
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.log_lines import read_lines
from driftline.serving.hosting.prints import BURST, LAST_LINES, SHOWN_SIGNS, Prints
from tests.serving.conftest import MODULES


class Printed:
    """What a model printed, at moments of a clock that stands."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.prints = Prints("scoring", monotonic=lambda: self.now_s)


@pytest.fixture
def printed(caplog: pytest.LogCaptureFixture) -> Printed:
    caplog.set_level(logging.INFO, logger=prints.__name__)
    return Printed()


def test_each_line_is_logged_under_the_models_name(printed, caplog) -> None:
    for part in (b"one\ntw", b"o\r\n", b"\n  \nthree"):
        printed.prints.feed(part)
    printed.prints.end()

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
def test_signs_that_act_on_a_terminal_are_escaped(printed, caplog, line, shown) -> None:
    printed.prints.feed(line + b"\n")

    assert caplog.messages == [f"model=scoring printed: {shown}"]


def test_a_long_line_is_cut_and_holds_no_memory(printed, caplog) -> None:
    for _ in range(1000):
        printed.prints.feed(b"x" * 1000)
    printed.prints.feed(b"\nshort\n")

    assert caplog.messages == [
        f"model=scoring printed: {'x' * SHOWN_SIGNS} …",
        "model=scoring printed: short",
    ]


def test_lines_beyond_the_limit_are_counted_in_one(printed, caplog) -> None:
    printed.prints.feed(b"again\n" * (BURST + 50_000))
    assert len(caplog.messages) == BURST + 1
    printed.now_s += 30.0
    printed.prints.feed(b"again\n" * 1000)
    assert len(caplog.messages) == BURST + 1 + 30
    printed.now_s += 31.0
    printed.prints.tell()

    told = [line for line in caplog.messages if "left out" in line]
    assert [int(line.split("=")[2].split()[0]) for line in told] == [50_000, 970]


def test_lines_are_kept_in_a_file_within_limits_and_counted_beyond(printed, tmp_path) -> None:
    file = LogFile(tmp_path, "AllTraffic")
    printed.prints.keep("scoring", lambda: 4711, file, is_private=False)
    printed.prints.feed(b"first\n" + b"x" * 10_000 + b"\n")
    for _ in range(1000):
        printed.prints.feed(b"again\n" * 10_000)
    printed.now_s += 30.0
    printed.prints.feed(b"last\n")
    printed.prints.end()

    newest, told, *others = [one.message for one in read_lines(tmp_path, limit=100_000)]
    assert newest == "last"
    assert others[-2:] == ["x" * 8192 + " …", "first"]
    left_out = int(told.split()[0].replace(",", ""))
    assert told == f"{left_out:,} lines were printed too fast and left out"
    assert left_out + len(others) == 2 + 1000 * 10_000
    assert len(others) < (4 << 20) / 256


@pytest.mark.parametrize("is_private", [False, True])
@pytest.mark.parametrize("how", ["quiet", "over", "goes on"])
def test_the_last_lines_of_a_flood_are_kept_beside_their_count(
    printed, tmp_path, how, is_private
) -> None:
    file = LogFile(tmp_path, "AllTraffic")
    printed.prints.keep("scoring", lambda: 4711, file, is_private=is_private)
    text = b"".join(b"line %d\n" % number for number in range(200_000))
    for start in range(0, len(text), 1 << 16):
        printed.prints.feed(text[start : start + (1 << 16)])
    printed.now_s += 1.0
    if how == "goes on":
        printed.prints.feed(b"another\n")
    if how == "quiet":
        printed.prints.tell(is_quiet=True)
        assert read_lines(tmp_path, limit=1)[0].message == "line 199999"
    printed.prints.end()

    found = [one.message for one in read_lines(tmp_path, limit=100_000)]
    last = [f"line {number}" for number in range(199_999, 199_999 - LAST_LINES, -1)]
    at = 1 if how == "goes on" else LAST_LINES
    assert found[:at] == (["another"] if how == "goes on" else last)
    left_out = int(found[at].split()[0].replace(",", ""))
    assert found[at] == f"{left_out:,} lines were printed too fast and left out"
    assert left_out + len(found) - 1 == 200_000 + (how == "goes on")
    assert found[at + 1 :] == [f"line {one}" for one in reversed(range(len(found) - at - 1))]


def test_of_few_lines_too_many_none_is_left_out(printed, tmp_path) -> None:
    printed.prints.keep("scoring", lambda: 4711, LogFile(tmp_path, "all"), is_private=False)
    count = (4 << 20) // 256 + 50
    printed.prints.feed(b"".join(b"%d\n" % number for number in range(count)))
    printed.prints.feed(b"x" * 10_000)
    printed.prints.end()

    found = [one.message for one in read_lines(tmp_path, limit=100_000)]
    assert found == ["x" * SHOWN_SIGNS + " …", *map(str, reversed(range(count)))]


def test_private_lines_are_in_the_file_alone(printed, tmp_path, caplog) -> None:
    printed.prints.keep("scoring", lambda: 4711, LogFile(tmp_path, "AllTraffic"), is_private=True)
    printed.prints.feed(b"hunter2\n\x1b[2J\n" + b"again\n" * 100_000)
    printed.prints.end()

    (line,) = [one for one in read_lines(tmp_path, limit=100_000) if one.message == "hunter2"]
    assert (line.variant, line.worker) == ("AllTraffic", 4711)
    assert r"\x1b[2J" in [one.message for one in read_lines(tmp_path, limit=100_000)]
    assert caplog.messages == []


def test_a_command_brings_its_first_lines_along_to_the_endpoint_that_takes_it(
    printed, tmp_path
) -> None:
    trial, endpoint = LogFile(tmp_path / "trial", "m"), LogFile(tmp_path / "flights", "AllTraffic")
    printed.prints.keep("m", lambda: 4711, trial, is_private=True)
    printed.prints.feed(b"loaded\n")
    printed.prints.keep("m", lambda: 4711, endpoint, is_private=True)
    printed.prints.feed(b"asked\n" + b"x" * 8000 + b"\n" + b"asked\n" * 10_000)
    after = LogFile(tmp_path / "next", "AllTraffic")
    printed.prints.keep("m", lambda: 4711, after, is_private=True)
    printed.prints.end()

    def lines(name):
        return [one.message for one in read_lines(tmp_path / name, limit=100_000)][::-1]

    assert lines("trial") == ["loaded"]
    assert lines("flights")[:2] == ["loaded", "asked"]
    assert sum(map(len, lines("next"))) < prints.FIRST_BYTES + prints.LINE_BYTES


def test_what_is_printed_into_the_pipe_is_logged_to_its_end(caplog) -> None:
    caplog.set_level(logging.INFO, logger=prints.__name__)
    others = set(threading.enumerate())
    writing = Prints("piped").open()
    (reader,) = set(threading.enumerate()) - others
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(b"first\nlast words")
    reader.join(30)

    assert caplog.messages == ["model=piped printed: first", "model=piped printed: last words"]


@pytest.fixture
def printing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Save a model that prints, by a module that workers can import."""
    monkeypatch.syspath_prepend(MODULES)
    joblib.dump(importlib.import_module("printing_model").Printing().fit(), tmp_path / "m.joblib")
    return Launch(str(tmp_path / "m.joblib"), trust_pickle=True, name="loud")


def test_whatever_a_worker_prints_until_it_dies_is_logged_as_its_models(
    printing: Launch, caplog, capfd, until
) -> None:
    caplog.set_level(logging.INFO, logger=prints.__name__)

    async def act() -> None:
        worker = await Child.start()
        try:
            await worker.load(printing, timeout_s=60)
            assert (await worker.ask("csv", "csv", b"3", math.inf, alone=False)).body == b"3.0\n"
            with pytest.raises(WorkerLostError):
                await worker.ask("csv", "csv", b"-1", math.inf, alone=False)
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
