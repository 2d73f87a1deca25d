"""The process of a command: started by SageMaker's container contract, checked, and ended whole.

References
----------
SageMaker developer guide, "Use Your Own Inference Code with Hosting Services".
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from driftline.child import set_limits
from driftline.orphans import adopt_orphans, descendants, end_children, end_with_parent
from driftline.serving.hosting.own_folders import new_folder, remove_unused_folders

HOST = "127.0.0.1"
PING_TIMEOUT_S = 2.0  # SageMaker's.
# Between SIGTERM and SIGKILL: its requests have been waited for before.
TERM_S = 3.0
# Below those from which systems take ports of connections.
_PORTS = range(20_000, 30_000)
_LISTENING = "0A"
_SIGNALS = {one.value: f" ({one.name})" for one in signal.Signals}  # Those with a name.


def ended(code: int | None) -> str:
    """Return how a process ended, by its exit code as `subprocess` says it."""
    if code is None or code >= 0:
        return "ended" if code is None else f"ended with exit code {code}"
    why = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
    return f"was ended by signal {-code}{_SIGNALS.get(-code, '')}{why}"


class CommandProcess:
    """A command that answers HTTP on a port of this machine."""

    def __init__(self, command: Sequence[str], model_dir: Path, memory_bytes: int | None) -> None:
        self.port = _free_port()
        # As in a container, where the model lies in /opt/ml/model.
        base, self._lock = new_folder()
        (base / "model").symlink_to(model_dir.absolute())
        adopt_orphans()
        # It prints where this process does (serving/hosting/worker_output.py).
        self._process = subprocess.Popen(  # noqa: S603 - trusted by the installation
            list(command),
            cwd=base / "model",
            env={**os.environ, **_environment(base, self.port)},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: _limit(memory_bytes),
        )

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, as of `subprocess`; None while it runs."""
        return self._process.poll()

    def has_ended(self, within_s: float) -> bool:
        """Whether it has ended, or does so in a moment."""
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def is_well(self) -> bool:
        """Whether ``GET /ping`` answers 200."""
        link = http.client.HTTPConnection(HOST, self.port, timeout=PING_TIMEOUT_S)
        try:
            link.request("GET", "/ping")
            return link.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            link.close()

    def listeners(self) -> tuple[bool, bool]:
        """Whether its own processes listen on the port, and whether to this machine only.

        Both are true where the system does not tell.
        """
        sockets = _listening(self.port)
        if not sockets:
            return True, True
        own = _sockets_of({self.process_id, *descendants(self.process_id)})
        is_loopback = all(address.endswith("0100007F") for address in sockets.values())
        return sockets.keys() <= own, is_loopback

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> None:
        """Ask it to end, kill it when it does not, and kill whatever it leaves behind."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        if not self.has_ended(TERM_S):
            self.kill()
            self._process.wait()
        end_children()
        os.close(self._lock)
        remove_unused_folders()


def _environment(base: Path, port: int) -> dict[str, str]:
    found = {
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_MODEL_DIR": str(base / "model"),
        # The folder is the store's: nothing is written into it; and what is printed comes at once.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if (base / "model" / "code").is_dir():
        found["SAGEMAKER_SUBMIT_DIRECTORY"] = str(base / "model" / "code")
    return found


def _limit(memory_bytes: int | None) -> None:
    """Limit the process that is about to become the command."""
    end_with_parent()
    set_limits({"memory_bytes": memory_bytes})


def _free_port() -> int:
    """Return a port that nobody listens on now."""
    for _ in range(100):
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port of {_PORTS.start} to {_PORTS.stop - 1} was found")


def _listening(port: int) -> dict[str, str]:
    """Return who listens on a port: the number of each socket, and its address in hexadecimal."""
    found = {}
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                words = line.split()
                address, _, number = words[1].partition(":")
                if words[3] == _LISTENING and int(number, 16) == port:
                    found[words[9]] = address
    return found


def _sockets_of(processes: set[int]) -> set[str]:
    found = set()
    for process in processes:
        with suppress(OSError):
            for place in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):
                    name = str(place.readlink())
                    found.add(name.removeprefix("socket:[").removesuffix("]"))
    return found
