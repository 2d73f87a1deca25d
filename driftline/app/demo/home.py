"""The demo's folder: one demo at a time, and nothing is ever removed that is not the demo's own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from pathlib import Path

from driftline.errors import ConflictError, InputError

MARKER = ".driftline-demo"
DEFAULT_FOLDER = Path(".driftline", "demo")
# Why a setting is not left as it is.
REASONS = {
    "retention_days": "The replayed year began more than the usual 90 days ago.",
    "allow_networks": "The pager listens on this machine.",
}


class Home:
    """A fresh folder for one demo, held as long as it is used as a context manager."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or DEFAULT_FOLDER).resolve()
        self._lock_fd = -1

    @property
    def settings_file(self) -> Path:
        """The installation's settings."""
        return self.folder / "driftline.toml"

    @property
    def clock_file(self) -> Path:
        """What scheduler, alarms and pages take for the time."""
        return self.folder / "clock"

    @property
    def resources_file(self) -> Path:
        """What the demo declares."""
        return self.folder / "resources.yaml"

    @property
    def model_file(self) -> Path:
        """The trained model."""
        return self.folder / "flights.skops"

    @property
    def reference_file(self) -> Path:
        """The flights that the model was trained on, with predictions out of fold."""
        return self.folder / "reference.parquet"

    @property
    def log_folder(self) -> Path:
        """One log file for each process."""
        return self.folder / "logs"

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
        self._lock()
        self._clear()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock_fd)
        self._lock_fd = -1

    def write_settings(self) -> None:
        """Write the settings of the demo's installation; all others keep their defaults."""
        look_on = f"driftline up -c {self.settings_file.name}"
        lines = [f'# Written by "driftline demo". Look on with: {look_on}']
        for name, values in self._sections().items():
            lines += ["", f"[{name}]"]
            for key, value in values.items():
                # Texts, numbers and lists of them are written alike in JSON and TOML.
                line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
                about = REASONS.get(key)
                lines.append(f"{line} # {about}" if about else line)
        self.settings_file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _sections(self) -> dict[str, dict[str, object]]:
        return {
            "server": {"port": free_port(_asked_port("server", 8080))},
            "dashboard": {"port": free_port(_asked_port("dashboard", 8081))},
            "storage": {"root": "store"},
            "capture": {"commit_interval_s": 0.5, "retention_days": 400},
            "scheduler": {"clock": f"file:{self.clock_file}", "poll_s": 0.05},
            "alarms": {"poll_s": 0.1, "retention_days": 400},
            "notify": {"allow_networks": ["127.0.0.0/8"]},
        }

    def _lock(self) -> None:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock_fd, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._lock_fd)
            raise ConflictError(
                f"{self.folder}: a demo is running here (process {owner}); "
                "end it first, or choose another folder with --folder"
            ) from None
        os.ftruncate(self._lock_fd, 0)
        os.write(self._lock_fd, f"{os.getpid()}\n".encode())

    def _clear(self) -> None:
        for entry in self.folder.iterdir():
            if entry.name == MARKER:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


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
            found: int = listener.getsockname()[1]
            return found
    raise ConflictError("no free port on 127.0.0.1; end a program that listens")
