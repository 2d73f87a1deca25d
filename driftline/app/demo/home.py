"""The demo's folder: one demo at a time, and nothing is ever removed that is not the demo's own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from datetime import datetime
from pathlib import Path

from driftline.errors import ConflictError, InputError

MARKER = ".driftline-demo"
DEFAULT_FOLDER = Path(".driftline", "demo")
# The replayed year began more than the usual 90 days ago. The pager listens on this machine.
SETTINGS = """\
# Written by "driftline demo". Look on with: driftline up -c driftline.toml
[server]
port = {server}
[dashboard]
port = {dashboard}
[storage]
root = "store"
[capture]
commit_interval_s = 0.5
retention_days = 400
[scheduler]
clock = {clock}
[alarms]
retention_days = 400
[notify]
allow_networks = ["127.0.0.0/8"]
"""


class ClockFile:
    """The clock that scheduler, alarms and pages read; it never goes back."""

    def __init__(self, file: Path, start: datetime) -> None:
        self._file = file
        self.time = start
        self._write(start)

    def advance(self, time: datetime) -> None:
        """Move on to a time; one that has passed changes nothing."""
        if time > self.time:
            self.time = time
            self._write(time)

    def go_on(self, now: datetime) -> None:
        """Let it go on by itself from where it stands, as fast as real time does."""
        self._write(self.time, now)

    def _write(self, *times: datetime) -> None:
        # Replaced as a whole, so that no reader sees half of it.
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text("\n".join(one.isoformat() for one in times) + "\n", encoding="ascii")
        fresh.replace(self._file)


class Home:
    """A fresh folder for one demo, held as long as it is used as a context manager."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or DEFAULT_FOLDER).resolve()
        self.settings_file = self.folder / "driftline.toml"
        self.clock_file = self.folder / "clock"
        self._lock_fd = -1

    def __enter__(self) -> Home:
        marker = self.folder / MARKER
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not marker.is_file() and any(self.folder.iterdir()):
                raise ConflictError(
                    f"{self.folder} is not empty and not a demo's folder (it has no {MARKER}); "
                    "nothing was changed; choose another with --folder"
                )
            self._lock_fd = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be used ({error.strerror})") from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock_fd)
            raise ConflictError(
                f"{self.folder}: a demo is running here; end it first, or choose another folder "
                "with --folder"
            ) from None
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock_fd)

    def write_settings(self) -> None:
        """Write the settings of the demo's installation; all others keep their defaults."""
        text = SETTINGS.format(
            server=free_port(_asked_port("server", 8080)),
            dashboard=free_port(_asked_port("dashboard", 8081)),
            clock=json.dumps(f"file:{self.clock_file}"),
        )
        self.settings_file.write_text(text, encoding="utf-8")


def _asked_port(section: str, usual: int) -> int:
    """Return the port that the environment asks for, or the usual one."""
    name = f"DRIFTLINE_{section.upper()}__PORT"
    text = os.environ.get(name, str(usual))
    if not (text.isdecimal() and int(text) <= 65_535):
        raise InputError(f"{name}={text}; expected a port, 0 to 65535")
    return int(text)


def free_port(wanted: int) -> int:
    """Return the wanted port of 127.0.0.1 when nothing listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen()
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise ConflictError("no free port on 127.0.0.1; end a program that listens")
