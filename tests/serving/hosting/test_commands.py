"""Commands as a server's worker runs them: real processes, ended whole, whatever they do."""

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

import pytest

from driftline.orphans import descendants
from driftline.serving.hosting.child import Child, LoadError
from driftline.serving.resources.worker_spec import WorkerSpec

PROGRAM = Path(__file__).parents[2] / "fixtures" / "serving" / "container.py"


@pytest.fixture
def launch(tmp_path):
    """Return what describes a command in a mode."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(PROGRAM, folder / "container.py")

    def make(mode="plain", *, command=None, path=folder, is_trusted=True, **more):
        argv = (sys.executable, "container.py", mode) if command is None else command
        return WorkerSpec(
            str(path), name="flights", command=argv, trust_commands=is_trusted, **more
        )

    return make


def is_running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def with_child(launch, act):
    """Start a command, do something with it, and stop it; return what ran of it then."""
    child = await Child.start(launch, timeout_s=60)
    try:
        found = await act(child)
        started = descendants(child.process_id)
    finally:
        await child.stop()
    return found, started


def ask(child, body, form="text/csv", answer="*/*"):
    return child.ask(form, answer, body, math.inf)


def test_a_command_finds_what_the_contract_says_and_no_setting_of_ours(
    launch, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRIFTLINE_AUTH__TOKEN", "ours")

    async def act(child):
        return await ask(child, b"who", "text/x-odd; a=b", "")

    reply, started = asyncio.run(with_child(launch(), act))

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
    assert about["pid"] in started
    assert not any(map(is_running, started))
    assert not Path(about["environ"]["SAGEMAKER_BASE_DIR"]).exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"refuse", 'Received client error (422) from the model with message "no odd rows"'),
        (b"break", "the model's server broke the connection off (RemoteDisconnected"),
        (b"eat", 'Received server error (500) from the model with message "out of memory"'),
    ],
)
def test_what_goes_wrong_in_the_command_is_told_and_it_goes_on(body, message, launch):
    async def act(child):
        return await ask(child, body), await ask(child, b"who")

    limited = launch(memory_bytes=512 << 20)
    (refused, well), _ = asyncio.run(with_child(limited, act))

    assert (refused.status, refused.code, well.status) == (424, "model_error", 200)
    assert refused.message.startswith(message)


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


def test_nothing_is_left_of_it_when_the_server_is_killed(launch, tmp_path, until):
    script = (
        "import asyncio, json, math, sys, threading\n"
        "from driftline.serving.hosting.child import Child\n"
        "from driftline.serving.resources.worker_spec import WorkerSpec\n"
        "async def act():\n"
        "    given = json.loads(sys.argv[1])\n"
        "    launch = WorkerSpec(**{**given, 'command': tuple(given['command'])})\n"
        "    child = await Child.start(launch, timeout_s=60)\n"
        "    daemon = await child.ask('text/csv', '', b'fork', math.inf)\n"
        "    who = await child.ask('text/csv', '', b'who', math.inf)\n"
        "    pids = [child.process_id, json.loads(who.body)['pid'], int(daemon.body)]\n"
        "    print(json.dumps(pids), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(act())\n"
    )
    argv = [sys.executable, "-c", script, json.dumps(asdict(launch("stubborn")))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        processes = json.loads(server.stdout.readline())
        assert all(map(is_running, processes))
        server.kill()

    until(lambda: not any(map(is_running, processes)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"is_trusted": False}, r'model "flights" is a command.*trust_commands = true'),
        ({"command": ("no-such-program",)}, r'"no-such-program" cannot be started'),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(changes, sentence, launch):
    with pytest.raises(LoadError, match=sentence):
        asyncio.run(with_child(launch(**changes), None))


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
