"""Taps that are sent to other processes: what is recorded there is stored like anything else."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import pytest

import driftline as dl
from tests.capture.tap.test_tap import answering, frames_of


def test_a_logger_in_a_joblib_closure_records_in_every_process_into_one_spool_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = dl.Logger("flights")
    here = log({"a": -1}, 0)

    def predict(number: int) -> str:
        return log({"a": number}, number)

    there = joblib.Parallel(n_jobs=2, batch_size=1)(joblib.delayed(predict)(n) for n in range(20))

    spool_dir = tmp_path / ".driftline" / "spool"
    found = [frame.meta["event_id"] for frame in frames_of(spool_dir)]
    assert sorted(found) == sorted([here, *there])
    # This process and two others at most, however many closures were sent.
    assert 2 <= len([one for one in spool_dir.iterdir() if one.is_dir()]) <= 3
    assert log.counters["stored"] == 1


def test_copies_of_a_logger_in_one_process_are_one_and_not_the_original(spool_dir: Path) -> None:
    log = dl.Logger("flights", spool_dir=spool_dir, variant="Blue", model="m1")
    log({"a": 1}, 1)

    copy, again = pickle.loads(pickle.dumps(log)), pickle.loads(pickle.dumps(log))
    copy({"a": 2}, 2)

    assert copy is again
    assert (log.counters["stored"], copy.counters["stored"]) == (1, 1)
    assert log.spool.spool_id != copy.spool.spool_id
    assert {(f.meta["variant"], f.meta["model"]) for f in frames_of(spool_dir)} == {("Blue", "m1")}


ELSEWHERE = """
import asyncio, pickle, sys

tap = pickle.load(sys.stdin.buffer)
scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
messages = [{"type": "http.request", "body": b"1", "more_body": False}]

async def receive():
    return messages.pop(0)

async def send(message):
    pass

asyncio.run(tap(scope, receive, send))
"""


def test_a_capture_in_another_process_writes_a_spool_of_its_own_to_the_same_folder(
    tmp_path: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    tap = dl.Capture(answering(b"2"), endpoint="flights", spool_dir="spool", max_body_bytes=7)
    call(tap, b"1")

    subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=cloudpickle.dumps(tap), cwd=elsewhere, check=True,
        timeout=60, capture_output=True,
    )  # fmt: skip

    frames = frames_of(tmp_path / "spool")
    assert [(f.request, f.response, f.meta["endpoint"]) for f in frames] == [
        (b"1", b"2", "flights")
    ] * 2
    assert len(list((tmp_path / "spool").glob("*-*"))) == 2
    assert list(elsewhere.iterdir()) == []
