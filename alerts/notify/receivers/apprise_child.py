"""Sends one notification by apprise, in a process that reaches allowed addresses only.

Apprise makes its own requests, to the hosts of its more than hundred services or of its URLs. So
the guard is an audit hook of Python, which sees each connection, file and program. It judges the
address of the connection itself, so neither DNS nor redirects can lead further. Only Python's own
files can be read: some services can be told to send one, and our keys lie in files. Nothing can be
written, deleted or started.

Standard input: ``{"url", "title", "body", "mood", "allow_networks"}``, or a URL alone, which is
only read. Exit code 0: taken; 1: not taken; 77: refused for good; 2: invalid URL. Output quotes
only the scheme of a URL.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Sequence
from typing import Any

from driftline.alerts.notify.addresses import AddressGuard
from driftline.alerts.notify.receivers.refusals import EX_NOPERM, is_final_status

_SENDS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
# What changes files, starts programs or tells others; of it, what changes nothing.
_CHANGES = ("os.", "subprocess.", "sqlite3.", "syslog.")
_HARMLESS = frozenset({"os.listdir", "os.scandir", "os.walk", "os.putenv", "os.unsetenv"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
_STATUS = re.compile(r"error=(\d{3})\b")


def main() -> int:
    """Send the message on standard input; return the exit code."""
    asked = json.loads(sys.stdin.buffer.read())
    try:
        import apprise
    except ImportError:
        sys.stdout.write("apprise is not installed; install driftline[apprise]\n")
        return 2
    statuses = _Statuses()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [statuses], False
    asset = apprise.AppriseAsset(allow_templates=False, plugin_paths=[], http_redirects=False)
    service = apprise.Apprise.instantiate(asked["url"], asset=asset)
    if service is None:
        sys.stdout.write(f"{_unread(asked['url'])}\n")
        return 2
    if "body" not in asked:  # Only whether the URL can be read.
        return 0
    service.redirects = False
    refused: list[str] = []
    sys.addaudithook(closed_to(AddressGuard(asked["allow_networks"]), refused))
    kinds = {"failure": "failure", "warning": "warning", "success": "success"}
    is_sent = service.notify(
        title=asked["title"], body=asked["body"],
        notify_type=kinds.get(asked["mood"], "info"),
    )  # fmt: skip
    if is_sent and not refused:
        return 0
    if refused:
        sys.stdout.write(f"{refused[0]}\n")
    elif statuses.all:
        sys.stdout.write(f"the service answered {statuses.all[-1]}\n")
        # An address may name several targets: one of them may still take it later.
        if all(map(is_final_status, statuses.all)):
            return EX_NOPERM
    else:
        sys.stdout.write("the service did not take the message\n")
    return 1


def _unread(url: str) -> str:
    """Return why apprise cannot read a URL; after the scheme stand tokens, so nothing of that."""
    from apprise.manager_plugins import NotificationManager  # An extra.

    services: Any = NotificationManager()  # type: ignore[no-untyped-call]  # It has no types.
    scheme, mark, _ = url.lower().partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        # Nothing of it is told: it may be a token, or a file that was named by mistake.
        return (
            "there is no scheme that apprise could know; expected an address such as mailtos://... "
            "or tgram://..."
        )
    known = sorted(services.schemas())
    if scheme not in known:
        near = difflib.get_close_matches(scheme, known, n=1)
        return (
            f'apprise knows no scheme "{scheme}"; expected one of its services, such as '
            f"mailtos://... or tgram://..."
            + (f'; the nearest known one is "{near[0]}"' if near else "")
        )
    return (
        f'apprise cannot read what follows "{scheme}://", or lacks a package for it here; expected '
        f"as {services[scheme].setup_url} says"
    )


def closed_to(guard: AddressGuard, refused: list[str]) -> Callable[[str, Sequence[Any]], None]:
    """Create the audit hook; why it refused something is added to a list."""
    inside = _own_files()

    def refuse(why: str) -> None:
        refused.append(why)
        raise PermissionError(why)

    def judge(event: str, given: Sequence[Any]) -> None:
        if event in _SENDS:
            address = given[1]
            if address is None:  # Over a connection that was judged when it was made.
                return
            if not isinstance(address, tuple) or not guard.reaches(str(address[0])):
                refuse("address not allowed")
        elif event == "open":
            path, mode, flags = given
            # A number is of a file that was opened before.
            if not isinstance(path, int) and (_is_writing(mode, flags) or not _is_in(path, inside)):
                refuse("a file of this machine is not allowed")
        elif event.startswith(_CHANGES) and event not in _HARMLESS:
            refuse("a program or a change of files is not allowed")

    return judge


def _is_writing(mode: str | None, flags: int | None) -> bool:
    return bool(set(mode or "") & set("wax+") or (flags or 0) & _WRITES)


def _is_in(path: Any, inside: tuple[str, ...]) -> bool:  # noqa: ANN401 - as the hook gets it
    return os.path.realpath(os.fsdecode(path)).startswith(inside)


def _own_files() -> tuple[str, ...]:
    """Return the folders of Python's own files, and what is read to connect."""
    found = {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, *filter(None, sys.path)}
    found |= {"/etc/ssl", "/usr/share/zoneinfo"}
    files = ("/etc/mime.types", "/etc/localtime", "/etc/resolv.conf", "/etc/hosts", "/dev/urandom")
    folders = {f"{os.path.realpath(one)}{os.sep}" for one in found if one not in ("", "/")}
    return (*sorted(folders), *(os.path.realpath(one) for one in files), os.devnull)


class _Statuses(logging.Handler):
    """Keeps of apprise's log, whose lines may quote tokens, only what a service answered."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look for the status in a line."""
        if found := _STATUS.search(record.getMessage()):
            self.all.append(int(found[1]))


if __name__ == "__main__":
    sys.exit(main())
