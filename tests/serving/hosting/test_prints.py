"""Prints of models in the log: by lines, with the name, as text, and not without end."""

import asyncio
import importlib
import io
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
from driftline.serving.hosting.prints import Prints
from tests.serving.conftest import MODULES


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=prints.__name__)


def read(data: bytes) -> None:
    """Have a model's lines read, by a clock that stands."""
    read_by(Prints("scoring", monotonic=lambda: 1000.0), data)


def read_by(one: Prints, data: bytes) -> None:
    one.read(io.BufferedReader(io.BytesIO(data)))  # type: ignore[arg-type] # A stream of bytes.


def test_each_line_is_logged_under_the_models_name(caplog) -> None:
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
def test_signs_that_act_on_a_terminal_are_escaped(caplog, line, shown) -> None:
    read(line + b"\n")

    assert caplog.messages == [f"model=scoring printed: {shown}"]


def test_lines_are_kept_in_a_file_within_limits_and_counted_beyond(caplog, tmp_path) -> None:
    scoring = Prints("scoring", monotonic=lambda: 1000.0)
    scoring.keep("scoring", lambda: 4711, LogFile(tmp_path, "AllTraffic"), is_private=False)
    read_by(scoring, b"first\n" + b"x" * 10_000 + b"\n" + b"again\n" * 1_000_000)

    newest, *others = [one.message for one in read_lines(tmp_path, limit=100_000)]
    assert others[-2:] == ["x" * 8192 + " …", "first"]
    left_out = int(newest.split()[0].replace(",", ""))
    assert newest == f"{left_out:,} lines were printed too fast and left out"
    assert left_out + len(others) == 2 + 1_000_000
    assert len(others) < (4 << 20) / 256
    assert not caplog.messages


def test_a_flood_without_a_file_does_not_fill_the_servers_log(caplog) -> None:
    read(b"again\n" * 1_000_000)

    assert len(caplog.messages) == 101
    assert caplog.messages[-1].endswith("999,900 lines were printed too fast and left out")


def test_what_is_printed_into_the_pipe_is_logged_to_its_end(caplog) -> None:
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
