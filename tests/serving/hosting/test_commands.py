"""Models that are commands: real processes, ended whole, and on a real server."""

import asyncio
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import joblib
import pytest

from driftline.capture.tables.dataset import Dataset
from driftline.serving.hosting.child import Child, LoadError
from driftline.serving.resources.worker_spec import WorkerSpec
from tests.serving.hosting.formats.archives import pack
from tests.serving.hosting.processes import is_running

PROGRAM = Path(__file__).parents[2] / "fixtures" / "serving" / "container.py"
SECRET = "token-hunter2"


@pytest.fixture
def launch(tmp_path):
    """Return what describes a command in a mode."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(PROGRAM, folder / "container.py")

    def make(mode="plain", **more):
        given = {"command": (sys.executable, "container.py", mode), **more}
        return WorkerSpec(str(folder), name="flights", trust_commands=True, **given)

    return make


async def with_child(launch, act):
    """Start a command, do something with it, and stop it."""
    child = await Child.start(launch, timeout_s=60)
    try:
        return await act(child)
    finally:
        await child.stop()


def ask(child, body, form="text/csv", answer="*/*"):
    return child.ask(form, answer, body, math.inf)


def test_a_command_finds_what_the_contract_says_and_no_setting_of_ours(
    launch, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRIFTLINE_AUTH__TOKEN", "ours")

    async def act(child):
        return await ask(child, b"who", "text/x-odd; a=b", "")

    reply = asyncio.run(with_child(launch(), act))

    about = json.loads(reply.body)
    assert (reply.status, reply.media_type) == (200, "application/json")
    assert (about["type"], about["accept"], about["path"]) == (
        "text/x-odd; a=b", "*/*", "/invocations",
    )  # fmt: skip
    assert about["files"] == ["container.py"]
    assert Path(about["cwd"]) == tmp_path / "model"
    assert "ours" not in about["environ"].values()
    assert Path(about["environ"]["SM_MODEL_DIR"]).parent == Path(
        about["environ"]["SAGEMAKER_BASE_DIR"]
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"refuse", "client error (422)"), (b"break", "broke the connection off"),
     (b"eat", "server error (500)")],
)  # fmt: skip
def test_what_goes_wrong_in_the_command_is_told_and_it_goes_on(body, message, launch):
    async def act(child):
        return await ask(child, body), await ask(child, b"who")

    limited = launch(memory_bytes=512 << 20)
    refused, well = asyncio.run(with_child(limited, act))

    assert (refused.status, refused.code, well.status) == (424, "model_error", 200)
    assert message in refused.message


@pytest.mark.parametrize("how", ["stopped", "killed", "shot", "lost"])
def test_nothing_is_left_of_it_however_it_ends(how, launch, until):
    async def act():
        child = await Child.start(launch("stubborn"), timeout_s=60)
        daemon = int((await ask(child, b"fork")).body)
        worker = child.process_id
        about = json.loads((await ask(child, b"who")).body)
        command = about["pid"]
        if how == "killed":
            child.kill()
        elif how in ("shot", "lost"):
            os.kill(worker if how == "shot" else command, signal.SIGKILL)
            await child.gone.wait()
        await child.stop()
        return about["environ"]["SAGEMAKER_BASE_DIR"], (worker, command, daemon)

    base, processes = asyncio.run(act())

    until(lambda: not Path(base).exists())  # Another process that looks now may be removing it.
    until(lambda: not any(map(is_running, processes)))


def test_what_cannot_be_run_is_refused(launch):
    with pytest.raises(LoadError):
        asyncio.run(with_child(launch(command=("no-such-program",)), None))


def test_one_that_answers_no_pings_is_replaced(launch, tmp_path):
    script = (
        "import json, socket, sys\n"
        "from driftline.serving.resources.worker_spec import WorkerSpec\n"
        "from driftline.serving.hosting import command\n"
        "command.PING_EVERY_S = 0.1\n"
        "spec = WorkerSpec(**json.loads(sys.argv[2]))\n"
        "command.serve_command(socket.socket(fileno=int(sys.argv[1])), spec)\n"
    )
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-c", script, str(theirs.fileno()), json.dumps(asdict(launch()))]
    with subprocess.Popen(argv, pass_fds=[theirs.fileno()]), ours:
        theirs.close()
        assert b'"ready"' in ours.recv(1 << 16)
        (tmp_path / "model" / "sick").touch()

        assert b"the command did not answer 3 pings and was ended" in ours.recv(1 << 16)
        assert ours.recv(1 << 16) == b""


@pytest.fixture
def archive(trained, tmp_path):
    """Pack a program, and the model that it answers by."""
    joblib.dump(trained.model, tmp_path / "late.joblib")
    files = (PROGRAM, tmp_path / "late.joblib")
    return pack(tmp_path / "model.tar.gz", {file.name: file.read_bytes() for file in files})


def declared(declare, trained, path, mode="plain"):
    command = [sys.executable, "container.py", mode]
    return [declare("Model", "flights", path=str(path), command=command), *trained.flights()[1:]]


def test_a_command_is_applied_invoked_and_captured(
    start, declare, trained, archive, tmp_path, caplog
):
    caplog.set_level("INFO")
    with start(tmp_path, trust_commands=True) as server:
        server.must_apply(*declared(declare, trained, archive))
        expected = [str(one) for one in trained.model.predict(trained.inputs)]

        for part in (slice(0, 20), slice(20, 40), slice(40, 60)):
            answer = server.invoke("flights", trained.csv(part))
            assert (answer.status_code, answer.text.split()) == (200, expected[part])
            if part.start == 0:  # Requests go on when the command is killed.
                about, odd = (server.invoke("flights", body) for body in ("who", "odd"))
                os.kill(json.loads(about.content)["pid"], signal.SIGKILL)
        server.sink_all()
        printed = server.client.get("/api/v1/logs", params={"endpoint": "flights"}).json()["items"]

    table = Dataset(str(server.root), "flights").open().to_table()
    scored = [one for one in table["prediction"].to_pylist() if one is not None]
    assert sorted(map(str, scored)) == sorted(expected[:60])
    assert printed[0]["message"].startswith(f"asked {SECRET} ")
    assert len({line["worker"] for line in printed}) == 2
    assert SECRET not in caplog.text
    assert about.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    assert (odd.status_code, "expected printable ASCII" in odd.text) == (424, True)


def test_an_installation_that_trusts_no_commands_runs_none(
    start, declare, trained, archive, tmp_path, until
):
    with start(tmp_path, trust_commands=True) as server:
        assert server.apply(*declared(declare, trained, archive)).status_code == 200
    with start(tmp_path, trust_pickle=True) as server:
        until(lambda: "trust_commands" in server.invoke("flights", "who").text)
        refused = server.apply(*declared(declare, trained, archive, "open"))
        assert refused.status_code == 400
        assert "run any program" in server.error_of(refused)["message"]
