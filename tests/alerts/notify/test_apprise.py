"""Apprise sends to its services, in a process that is closed in."""

import json
import subprocess
import sys

import pytest

from driftline.alerts.notify import senders
from tests.alerts.notify.sending import send


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let apprise be imported as slowly as a busy machine does it."""
    monkeypatch.setattr(senders, "TOTAL_TIMEOUT_S", 120.0)


def test_apprise_brings_title_text_and_link(receiver):
    url = receiver.url.replace("http://", "json://")

    answer, error = send("apprise", url=url)

    assert (answer.is_success, error) == (True, None)
    ((_, body),) = receiver.requests
    found = json.loads(body)
    assert found["title"] == "ALARM: drift"
    assert found["message"] == "temp: 33% below 12\n\nhttp://127.0.0.1:8081/x"
    assert found["type"] == "failure"


def test_what_apprise_is_refused_is_told_without_its_url(receiver):
    receiver.script = [(401, {})]
    url = receiver.url.replace("http://", "json://user:t0ken@")

    answer, _ = send("apprise", url=url)

    assert answer.problem == "ended with code 77"
    assert answer.text == "the service answered 401\n"


@pytest.mark.parametrize(
    ("status", "is_refused"), [(404, True), pytest.param(429, False, marks=pytest.mark.full)]
)
def test_what_a_service_of_apprise_refuses_for_good_is_not_tried_again(
    receiver, status, is_refused
):
    receiver.script = [(status, {})]

    answer, _ = send("apprise", url=receiver.url.replace("http://", "json://"))

    assert (answer.is_success, answer.is_refused) == (False, is_refused)


def test_apprise_follows_no_redirect(receiver, other_receiver):
    receiver.script = [(302, {"location": other_receiver.url})]

    answer, _ = send("apprise", url=receiver.url.replace("http://", "json://"))

    assert not answer.is_success
    assert len(receiver.requests) == 1
    assert other_receiver.requests == []


def test_apprise_reaches_no_loopback_that_is_not_listed(receiver):
    url = receiver.url.replace("http://127.0.0.1", "json://2130706433")

    answer, _ = send("apprise", url=url, networks=())

    assert not answer.is_success
    assert receiver.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "json://169.254.169.254/latest/meta-data",
        "mailto://user:pass@example.com?smtp=169.254.169.254",
    ],
    ids=["link-local", "mail server"],
)
def test_apprise_never_reaches_metadata_even_where_its_network_is_listed(url):
    answer, _ = send("apprise", url=url, networks=("169.254.0.0/16", "fd00::/8"))

    assert not answer.is_success
    assert answer.text == "address not allowed\n"


HOOK = """
import socket, subprocess, sys
from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.receivers.apprise_child import closed_to
import http.client, json
refused = []
sys.addaudithook(closed_to(AddressGuard(["127.0.0.0/8"]), refused))
for name, line in json.loads(sys.argv[1]).items():
    try:
        exec(line)
    except PermissionError:
        print(name)
"""
CLOSED = {
    "read": "open('/etc/passwd')",
    "write": "open('{tmp}/new', 'w')",
    "low write": "import os; os.open('{tmp}/new', os.O_CREAT | os.O_WRONLY)",
    "own write": "open(json.__file__, 'a')",
    "own low write": "import os; os.open(json.__file__, os.O_RDWR)",
    "delete": "import os; os.remove('{tmp}/old')",
    "database": "import sqlite3; sqlite3.connect('{tmp}/new').execute('create table a (b)')",
    "system log": "import syslog; syslog.syslog('a')",
    "program": "subprocess.run(['/bin/true'])",
    "private": "socket.create_connection(('10.0.0.1', 25), timeout=1)",
    "unix": "socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.0.0.1', 514))",
    "map": "socket.socket(socket.AF_INET6).connect(('::ffff:10.0.0.1', 25))",
}


def test_a_service_of_apprise_is_closed_in(tmp_path):
    (tmp_path / "old").touch()
    lines = {name: line.replace("{tmp}", str(tmp_path)) for name, line in CLOSED.items()}

    found = subprocess.run(
        [sys.executable, "-B", "-c", HOOK, json.dumps(lines)], capture_output=True, text=True
    )

    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines() == list(CLOSED)
    assert [one.name for one in tmp_path.iterdir()] == ["old"]


@pytest.mark.full
def test_apprise_looks_for_nothing_in_the_home_of_whoever_runs_it(receiver, tmp_path, monkeypatch):
    """Requests opens a .netrc: refused, a message that was taken would be sent again."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))

    answer, _ = send("apprise", url=receiver.url.replace("http://", "json://"))

    assert answer.is_success
    assert "authorization" not in receiver.requests[0][0]
