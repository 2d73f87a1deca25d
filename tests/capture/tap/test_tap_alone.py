"""The tap in other people's apps: one line, no arguments but a name, and never a reason to fail."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import driftline as dl
from driftline.capture.tap.place import find_place
from driftline.errors import InputError
from driftline.settings.settings import load
from tests.capture.tap.test_tap import answering, frames_of
from tests.servers.ports import free_port

Call = Callable[..., list[dict[str, Any]]]


def ask(app: Any, path: str, body: bytes) -> httpx.Response:
    """Send one request through an app in this process."""

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            headers = {"content-type": "application/json"}
            return await client.post(path, content=body, headers=headers)

    return asyncio.run(run())


TOML = {
    "root": '[storage]\nroot = "store"\n',
    "uri": '[storage]\nroot = "file:///tmp/a-root"\n',
    "uri of a host": '[storage]\nroot = "file://localhost/tmp/a-root"\n',
    "uri with spaces": '[storage]\nroot = "file:///tmp/a%20root/%23%25"\n',
    "relative uri": '[storage]\nroot = "FILE:a-root"\n[capture]\nspool_dir = "file:a%20spool"\n',
    "spaces": '[storage]\nroot = "a root/of tables "\n[capture]\nspool_dir = "../my spool"\n',
    "signs": '[storage]\nroot = "50%25 #1?"\n',
    "absolute": '[capture]\nspool_dir = "/tmp/a spool/../b"\n',
    "numbers": "[capture]\nspool_max_bytes = 1_234_567\nmax_body_bytes = 4_096\n",
    "spool": '[capture]\nspool_dir = "here/spool"\nmax_body_bytes = 77\n',
    "bucket": '[storage]\nroot = "s3://bucket/a"\n[capture]\nheaders = []\n',
    "bucket and folder": (
        '[storage]\nroot = "s3://bucket/a"\nlocal_dir = "here"\n'
        '[capture]\nheaders = ["X-Team", "accept"]\n'
    ),
    "none": "",
    "absent": None,
}
VARIABLES = {
    "DRIFTLINE_CAPTURE__SPOOL_DIR": "elsewhere",
    "DRIFTLINE_STORAGE__ROOT": "root2",
    "DRIFTLINE_CAPTURE__SPOOL_MAX_BYTES": "12345",
    # Names count in any case, and an empty folder of the spool is none.
    "DRIFTLINE_Capture__max_body_bytes": "99",
    "DRIFTLINE_capture__spool_dir": "",
}
# What the service refuses to start with, by name; an app answers all the same.
REFUSED = {
    "DRIFTLINE_STORAGE__ROOT": [""],
    "DRIFTLINE_CAPTURE__SPOOL_MAX_BYTES": ["many", "0", "-1", "1234567.8"],
}


SAME = ("spool_max_bytes", "max_body_bytes")


@pytest.mark.parametrize("toml", list(TOML))
def test_the_spool_is_where_the_service_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if (text := TOML[toml]) is not None:
        Path("driftline.toml").write_text(text)

    for count in (0, 1, len(VARIABLES)):
        for names in itertools.combinations(VARIABLES, count):
            environment = {name: VARIABLES[name] for name in names}
            expected, found = load(environment=environment), find_place(environment)
            assert found.spool_dir == expected.spool_dir
            assert list(found.headers) == expected.capture.headers
            for name in SAME:
                assert getattr(found, name) == getattr(expected.capture, name)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values]
)
def test_what_the_service_refuses_stops_no_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputError, match=name.partition("__")[2].lower()):
        assert load(environment={name: value}).root

    assert find_place({name: value}).spool_dir.is_relative_to(tmp_path)


def test_a_broken_settings_file_is_told_and_the_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("driftline.toml").write_text("[capture\n")

    found = find_place({"DRIFTLINE_CAPTURE__MAX_BODY_BYTES": "many"})

    assert (found.spool_dir, found.max_body_bytes) == (tmp_path / ".driftline" / "spool", 1 << 20)
    assert "capture settings not read" in caplog.text


def test_one_line_in_a_fastapi_app_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = FastAPI()
    app.add_middleware(dl.Capture, endpoint="flights")

    @app.post("/predict")
    def predict(row: dict[str, float]) -> dict[str, Any]:
        return {"late": row["delay"] > 15}

    answer = ask(app, "/predict", b'{"delay": 20}')
    os.chdir("/")  # Where the app goes later does not move the spool.
    ask(app, "/predict", b'{"delay": 1}')

    found = frames_of(tmp_path / ".driftline" / "spool")
    records = [frame for frame in found if frame.request]
    assert [json.loads(frame.response) for frame in records] == [{"late": True}, {"late": False}]
    assert answer.headers["x-amzn-requestid"] == records[0].meta["event_id"]
    assert {frame.meta["endpoint"] for frame in records} == {"flights"}


def test_only_posts_to_the_paths_asked_for_are_recorded(spool_dir: Path, call: Call) -> None:
    paths = ("/predict", "/models/{name}/predict", "/a.b")
    tap = dl.Capture(answering(b"a"), endpoint="f", paths=paths, spool_dir=spool_dir)

    for path in ("/predict", "/models/m1/predict", "/a.b"):
        call(tap, path.encode(), scope={"path": path})
    for path in ("/", "/predict/", "/predict/x", "/models/a/b/predict", "/axb", "/models//predict"):
        call(tap, path.encode(), scope={"path": path})
    call(tap, b"got", scope={"path": "/predict"}, method="GET")

    assert [frame.request for frame in frames_of(spool_dir)] == [
        b"/predict", b"/models/m1/predict", b"/a.b",
    ]  # fmt: skip


def test_paths_inside_a_mounted_app_are_its_own(spool_dir: Path) -> None:
    async def predict(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    inner = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
    inner.add_middleware(dl.Capture, endpoint="f", paths=["/predict"], spool_dir=spool_dir)
    app = Starlette(routes=[Mount("/api", inner)])

    assert ask(app, "/api/predict", b"1").text == "1"

    assert [frame.request for frame in frames_of(spool_dir)] == [b"1"]


def test_an_unwritable_spool_is_counted_and_told_once_and_the_app_answers(
    tmp_path: Path, call: Call, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    tap = dl.Capture(answering(b"a"), endpoint="flights", spool_dir=tmp_path / "file" / "spool")
    # One second passes with each look at the clock, so that it is tried again each time.
    ticks = itertools.count(0, 1_000_000_000)
    monkeypatch.setattr(tap.spool, "_mono_ns", lambda: next(ticks))

    with caplog.at_level(logging.WARNING, "driftline.capture"):
        answers = [call(tap, b"x")[1]["body"] for _ in range(20)]

    assert answers == [b"a"] * 20
    assert (tap.counters["stored"], tap.counters["dropped"]) == (0, 20)
    assert [record.message.split(" folder")[0] for record in caplog.records] == [
        "capture drops records until this is fixed"
    ]

    (tmp_path / "file").unlink()
    call(tap, b"x")
    gap, record = frames_of(tmp_path / "file" / "spool")
    assert (gap.meta["reason"], gap.meta["records"], record.request) == ("io_error", "20", b"x")
    assert caplog.records[-1].message.startswith("capture records again")


APP = """
import os
from fastapi import FastAPI
import driftline as dl

app = FastAPI()
app.add_middleware(dl.Capture, endpoint="flights")

@app.post("/predict")
def predict(row: dict[str, float]) -> dict[str, float]:
    return {"pid": os.getpid(), "delay": row["delay"]}
"""


def test_several_workers_each_record_what_they_answered(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--log-level", "warning"], cwd=tmp_path, start_new_session=True
    )
    url, workers, answers = f"http://127.0.0.1:{port}/predict", set(), []
    try:
        end, pause = time.monotonic() + 60, threading.Event()
        while len(workers) < 2 or len(answers) < 20:
            assert time.monotonic() < end, "two workers did not answer"
            try:
                answer = httpx.post(url, json={"delay": len(answers)}, timeout=10)
            except httpx.TransportError:
                pause.wait(0.1)
                continue
            workers.add(answer.json()["pid"])
            answers.append(answer.headers["x-amzn-requestid"])
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)

    spool = tmp_path / ".driftline" / "spool"
    records = [frame for frame in frames_of(spool) if frame.request]
    assert sorted(frame.meta["event_id"] for frame in records) == sorted(answers)
    assert len(list(spool.glob("*-*"))) == 2
