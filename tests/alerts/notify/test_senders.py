"""Each type of channel sends to something real: receivers, programs, services of this machine."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from driftline.alerts import tables
from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.receivers.programs import argv_of, commands_of, run_program
from driftline.alerts.notify.receivers.receiver import OpenChannel, Outgoing, Style
from driftline.alerts.notify.secrets import Secret
from driftline.alerts.notify.senders import Transports, open_sender
from driftline.errors import InputError
from tests.alerts.notify.sending import LOOPBACK, NOW, send
from tests.plugged import plug_in


@pytest.fixture
def script(tmp_path):
    """Make a program of some lines of Python, and the settings' list that names it."""

    def make(lines: str) -> dict[str, str]:
        file = tmp_path / "page"
        file.write_text(f"#!{sys.executable} -I\nimport json, os, sys, time\n{lines}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return commands_of([f"page={file} --to 'the team'"])

    return make


def test_a_command_gets_its_words_and_the_event_on_standard_input(script, tmp_path):
    told = tmp_path / "told"
    commands = script(
        "found = [sys.argv[1:], json.load(sys.stdin), dict(os.environ)]\n"
        f"json.dump(found, open({str(told)!r}, 'w'))"
    )

    answer, error = send("command", command="page", commands=commands)

    assert (answer.status, answer.is_success, error) == (0, True, None)
    words, event, environment = json.loads(told.read_text())
    assert words == ["--to", "the team"]
    assert event["id"] == "msg_1"
    assert event["type"] == "alarm.state_changed"
    assert event["title"] == "ALARM: drift"
    assert event["data"] == {"alarm": {"name": "drift"}}
    assert environment["DRIFTLINE_MESSAGE_ID"] == "msg_1"


def test_a_command_sees_no_variables_of_ours(script, tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTLINE_NOTIFY__SECRETS_KEY", "hidden")
    told = tmp_path / "told"
    commands = script(f"json.dump(sorted(os.environ), open({str(told)!r}, 'w'))")

    send("command", command="page", commands=commands)

    assert "DRIFTLINE_NOTIFY__SECRETS_KEY" not in json.loads(told.read_text())


def test_a_failing_command_says_so_in_its_words(script):
    answer, error = send("command", command="page", commands=script("sys.exit('line is busy')"))

    assert (answer.status, answer.is_success, error) == (1, False, None)
    assert answer.problem == "ended with code 1"
    assert answer.text == "line is busy\n"


def test_a_command_that_says_very_much_neither_blocks_nor_fills_the_log(script):
    answer, _ = send("command", command="page", commands=script("print('x' * 3_000_000)"))

    assert answer.is_success
    assert len(answer.text) == 4096


def test_a_command_that_hangs_ends_with_all_that_it_started(tmp_path):
    mark = tmp_path / "child"
    # A shell, which begins in milliseconds: a busy machine may not start Python within the second.
    argv = ["/bin/sh", "-c", f"sleep 600 & echo $! > {mark}; wait"]

    with pytest.raises(TimeoutError):
        asyncio.run(run_program(argv, b"{}", timeout_s=1.0))

    child = int(mark.read_text())
    deadline = time.monotonic() + 60
    while _is_alive(child) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_no_shell_reads_what_a_command_is_given(script, tmp_path):
    told, mark = tmp_path / "told", tmp_path / "mark"
    commands = script(f"json.dump(sys.argv[1:], open({str(told)!r}, 'w'))")
    commands["page"] += f" '; touch {mark}' $(touch {mark}) `touch {mark}`"

    send("command", command="page", commands=commands)

    assert not mark.exists()
    assert f"; touch {mark}" in json.loads(told.read_text())


@pytest.mark.parametrize(
    ("name", "commands", "words"),
    [
        ("other", {"page": "/bin/true"}, 'is not in .notify. commands; expected one of "page"'),
        ("other", {}, '.notify. commands lists none; add it there, such as "other=/usr/local/bin'),
        ("page", {"page": "true"}, "begins with no absolute path"),
        ("page", {"page": "/bin/true 'half"}, "cannot be read"),
    ],
    ids=["unknown", "none", "relative", "half a quote"],
)
def test_only_what_the_settings_list_is_run(name, commands, words):
    with pytest.raises(InputError, match=words):
        argv_of(name, commands)

    assert send("command", command=name, commands=commands)[0] is None


def test_an_entry_without_a_name_is_refused():
    with pytest.raises(InputError, match="expected such as"):
        commands_of(["/usr/local/bin/page"])


PLUGIN = """
import json
def send(event):
    if event["title"] == "fall":
        raise RuntimeError("token-in-words")
    if event["title"] == "refuse":
        error = ValueError("token-in-words")
        error.retriable = False
        raise error
    with open({told!r}, "w") as file:
        json.dump(event, file)
"""


@pytest.mark.parametrize(
    ("plugin", "title", "code", "said"),
    [
        ("siren", "ring", 0, ""),
        ("siren", "fall", 1, "RuntimeError\n"),
        ("siren", "refuse", 77, "ValueError\n"),
        ("bell", "ring", 2, 'no plugin "bell" is installed; expected one of "siren"\n'),
    ],
    ids=["taken", "raises", "refuses", "unknown"],
)
def test_a_plugin_is_an_entry_point_that_is_handed_the_event(tmp_path, plugin, title, code, said):
    told = tmp_path / "told"
    points = "[driftline.notifiers]\nsiren = siren_plugin:send\n"
    plug_in(tmp_path, "siren_plugin", PLUGIN.format(told=str(told)), points)
    run = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from driftline.alerts.notify.receivers.plugin_child import main\nsys.exit(main())"
    )
    asked = {"plugin": plugin, "event": {"title": title}}

    found = subprocess.run(
        [sys.executable, "-c", run], input=json.dumps(asked), capture_output=True, text=True
    )

    assert (found.returncode, found.stdout) == (code, said)
    assert told.exists() == (code == 0)


def test_a_plugin_that_is_not_installed_is_a_failure_that_says_so():
    answer, _ = send("plugin", plugin="nowhere")

    assert answer.problem == "ended with code 2"
    assert 'no plugin "nowhere" is installed, nor any other; install' in answer.text


def test_an_authorization_goes_as_a_header(receiver):
    send("webhook", url=receiver.url, authorization=Secret("Bearer t0ken"))

    assert receiver.requests[0][0]["authorization"] == "Bearer t0ken"


def test_a_channel_that_needs_no_url_takes_none():
    for kind in ("command", "plugin"):
        with pytest.raises(InputError, match="a url with type"):
            Channel("a", "https://hooks.example", type=kind, options={kind: "x"})


def test_the_deliverer_runs_commands_from_the_thread_that_it_lives_in(
    house, engine, clock, evaluator, script, tmp_path
):
    told = tmp_path / "told"
    commands = script(f"open({str(told)!r}, 'a').write(json.load(sys.stdin)['id'] + '\\n')")
    house.channel("page", "", type="command", secret=None, options={"command": "page"})
    house.alarm(alarm_actions=("page",), ok_actions=("page",))
    house.put(1, 0)
    evaluator.step()
    deliverer = Deliverer(engine, now=clock, commands=commands, poll_s=0.01)
    stop = threading.Event()
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with engine.begin() as connection:
            rows = connection.execute(
                select(tables.outbox).order_by(tables.outbox.c.state_seq)
            ).all()
        if {row.status for row in rows} == {"delivered"}:
            break
        stop.wait(0.05)
    stop.set()
    thread.join()

    assert [row.status for row in rows] == ["delivered", "delivered"]
    assert told.read_text().split() == [row.id for row in rows]
    assert deliverer.failures.count == 0


@pytest.mark.parametrize("type", ["apprise", "plugin", "command", "alertmanager", "webhook"])
@pytest.mark.parametrize("body", [b'[{"labels":{}}]', b'{"text":"a"}', b"no JSON"])
def test_a_message_written_for_another_type_has_an_end(type, body, receiver, script):  # noqa: A002
    url = receiver.url if type in ("alertmanager", "webhook") else "json://127.0.0.1:1"
    options = {"command": "page", "plugin": "none"}
    channel = OpenChannel("pager", Style(type, "driftline", options), Secret(url), options=options)
    transports = Transports(AddressGuard(LOOPBACK), LOOPBACK, script("sys.stdin.read()"))

    async def run():
        async with open_sender(transports) as sender:
            return await sender.send(channel, Outgoing("msg_1", body), NOW)

    answer, error = asyncio.run(run())

    assert (answer is None) == (error is not None)
    if type == "alertmanager" and not body.startswith(b"["):
        assert error == "the message was written for another type of channel"


def test_what_nobody_foresaw_is_a_failed_attempt_and_is_logged(monkeypatch, caplog):
    """A message whose end is not written is sent again as often as its lease runs out."""

    def fall(*given):
        raise RuntimeError("never seen")

    monkeypatch.setattr("driftline.alerts.notify.receivers.command.argv_of", fall)

    assert send("command", command="page") == (None, "RuntimeError")
    assert "delivery_failed id=msg_1 channel=pager" in caplog.text


@pytest.mark.parametrize("start", ["", "setsid "], ids=["in its session", "out of reach"])
def test_a_command_that_leaves_something_behind_has_ended_all_the_same(tmp_path, start):
    program = tmp_path / "page"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\necho taken\n{start}sleep 5 &\nexit 0\n")
    program.chmod(0o700)

    answer = asyncio.run(run_program([str(program)], b"{}", timeout_s=3.0))

    assert (answer.status, answer.text) == (0, "taken\n")


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [(1, False), (63, False), (64, True), (75, False), (77, True), (78, True), (79, False)],
)
def test_a_command_says_by_its_exit_code_that_trying_again_does_not_help(script, code, is_refused):
    commands = script(f"sys.exit({code})")

    answer, _ = send("command", command="page", commands=commands)

    assert (answer.status, answer.is_refused) == (code, is_refused)
