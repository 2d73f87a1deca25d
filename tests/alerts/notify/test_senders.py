"""Each type of channel sends to something real: receivers, programs, services of this machine."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftline.alerts.notify.receivers.programs import argv_of, commands_of, run_program
from driftline.errors import InputError
from tests.alerts.notify.sending import send
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


def test_a_command_that_hangs_ends_with_all_that_it_started(tmp_path):
    mark = tmp_path / "child"
    # A shell, which begins in milliseconds: a busy machine may not start Python within the second.
    argv = ["/bin/sh", "-c", f"sleep 600 & echo $! > {mark}; wait"]

    with pytest.raises(TimeoutError):
        run_program(argv, b"{}", timeout_s=1.0)

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
