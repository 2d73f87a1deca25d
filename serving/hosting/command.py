"""A model that is a command: run by SageMaker's container contract, asked over HTTP, ended whole.

Runs in a worker process. When the server closes the socket, or is gone, the command ends with all
its children; when the command ends, this process does, and the pool starts another one.
"""

from __future__ import annotations

import http.client
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from driftline.child import NOT_STARTED, Limits, started
from driftline.errors import DriftlineError
from driftline.orphans import descendants
from driftline.serving.bodies.media_types import MEDIA_TYPES
from driftline.serving.hosting.formats.archive import Unpacked
from driftline.serving.hosting.formats.model_format import NOT_EXPLAINED, OF_BODIES, ModelError
from driftline.serving.hosting.formats.table import ARCHIVE, MODEL_FORMATS
from driftline.serving.hosting.frames import (
    FrameReader,
    pack,
    received,
    refuse,
    respond,
    send_last,
)
from driftline.serving.hosting.own_folders import new_folder, remove_folder
from driftline.serving.hosting.worker_process import ended
from driftline.serving.resources.worker_spec import WorkerSpec

HOST = "127.0.0.1"
OPEN_MAX = 64  # More requests wait their turn.
PING_EVERY_S, MISSES_MAX = 5.0, 3
PING_TIMEOUT_S = 2.0  # SageMaker's.
START_LOOK_S = 0.05
LARGEST_ANSWER_BYTES = 100 << 20
# The pool waits less; whoever asks nothing more is not to hold a thread for ever.
_ANSWER_S = 3600.0
_ENDS_IN_S = 1.0
_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
# Below those from which systems take ports of connections.
_PORTS = range(20_000, 30_000)
_LISTENING = "0A"
_unpacked = Unpacked()


def serve_command(link: socket.socket, spec: WorkerSpec) -> None:
    """Start the command of a spec, and answer by it until it or the socket ends."""
    with ExitStack() as stack:
        try:
            command = stack.enter_context(_running(link, spec))
        except (DriftlineError, OSError, ValueError) as error:  # A NUL in an argument, too.
            link.sendall(pack({"refused": f'model "{spec.name}" is a command: {error}'}))
            return
        if command.is_ready():
            command.answer()


@contextmanager
def _running(link: socket.socket, spec: WorkerSpec) -> Iterator[_Command]:
    """Run the command of a spec in the folder of its model."""
    assert spec.command is not None
    if not spec.trust_commands:
        raise ModelError(
            "this installation runs none; allow them by [serving] trust_commands = true"
        )
    if sys.platform != "linux":  # Without /proc and process descriptors nobody ends it whole.
        raise ModelError("these run on Linux only")
    path, port = Path(spec.path), _free_port()
    if path.is_file() and path.name.lower().endswith(MODEL_FORMATS[ARCHIVE].suffixes):
        path = _unpacked.folder(path)
    # As in a container, where the model lies in /opt/ml/model.
    base, lock = new_folder()
    model = base / "model"
    model.symlink_to((path if path.is_dir() else path.parent).absolute())
    environment = {
        **os.environ,
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_MODEL_DIR": str(model),
        "PYTHONHASHSEED": "random",
        "PYTHONUNBUFFERED": "1",  # What is printed comes at once.
    }
    if (model / "code").is_dir():
        environment["SAGEMAKER_SUBMIT_DIRECTORY"] = str(model / "code")
    limits = Limits(memory_bytes=spec.memory_bytes)
    try:
        # It prints where this process does (worker_output.py).
        with started(
            spec.command, limits, environment=environment, cwd=model, stdout=None, stderr=None
        ) as process:
            yield _Command(link, spec.command[0], process, port)
    finally:
        remove_folder(base, lock)


class _Command:
    """A command that answers HTTP on a port of this machine, and the requests that it has."""

    def __init__(
        self, link: socket.socket, name: str, process: subprocess.Popen[bytes], port: int
    ) -> None:
        self._link, self._name, self._process, self._port = link, name, process, port
        self._problem = ""
        self._sending = threading.Lock()
        self._open: set[int] = set()
        self._is_over = threading.Event()

    def is_ready(self) -> bool:
        """Wait for the first answer to a ping, and tell the server of it, or of what is wrong."""
        while (code := self._process.poll()) is None:
            # The server sends nothing before it is told: what can be read is its end.
            if select.select([self._link], [], [], START_LOOK_S)[0]:
                return False
            if self._is_well():
                is_own, warning = self._listeners()
                if is_own:
                    self._send(pack({"ready": asdict(OF_BODIES), "warning": warning}))
                    return True
                problem = f"port {self._port} is answered by another program; it is tried again"
                self._send(pack({"lost": problem}))
                return False
        if code == NOT_STARTED:
            problem = (
                f'command "{self._name[:80]}" cannot be started; expected a program on the PATH '
                "of the server, or a path from the model's folder on"
            )
            self._send(pack({"refused": problem}))
        else:
            problem = f"before GET /ping answered 200 on port {self._port} (SAGEMAKER_BIND_TO_PORT)"
            self._send(pack({"lost": f"the command {ended(code)} {problem}"}))
        return False

    def answer(self) -> None:
        """Hand requests on until the socket or the command ends."""
        for work in (self._tell_end, self._look):
            threading.Thread(target=work, daemon=True).start()
        pool = ThreadPoolExecutor(OPEN_MAX, thread_name_prefix="request")
        reader = FrameReader()
        try:
            with suppress(TimeoutError):  # `_tell_end` waits no longer for the server.
                while data := self._link.recv(1 << 20):
                    for header, body in reader.feed(data):
                        if "op" in header:
                            self._send(refuse(header, 400, "bad_request", NOT_EXPLAINED))
                        else:
                            self._open.add(header["id"])
                            pool.submit(self._hand_on, header, body)
        finally:
            self._is_over.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _tell_end(self) -> None:
        """Report to the server that the command has ended by itself."""
        code = self._process.wait()
        with self._sending, suppress(OSError):
            send_last(self._link, pack({"lost": self._problem or f"the command {ended(code)}"}))

    def _hand_on(self, header: dict[str, Any], body: bytes) -> None:
        """Send a request to the command, and its answer to the server."""
        try:
            # Who asks by the form of a body means its media type.
            types = [MEDIA_TYPES.get(header[key], header[key]) for key in ("form", "answer")]
            status, about, answer = self._ask(body, *types)
        except (OSError, ValueError, http.client.HTTPException) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDS_IN_S)
                return  # Nothing is said: the server asks the next one.
            reason = (str(error).splitlines() or [""])[0][:200]
            kind = type(error).__name__
            message = f"the model's server broke the connection off ({kind}: {reason})"
            self._send(refuse(header, 424, "model_error", message))
            return
        finally:
            self._open.discard(header["id"])
        if len(answer) > LARGEST_ANSWER_BYTES:
            message = f"the model's answer has more than {LARGEST_ANSWER_BYTES >> 20} MiB"
            self._send(refuse(header, 424, "model_error", message))
        elif 200 <= status < 300:
            self._send(respond(header, answer, status=200, **about))
        else:
            said = answer[:2000].decode(errors="replace").strip()
            self._send(received(header, status, said))

    def _ask(
        self, body: bytes, content_type: str, accept: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, type and attributes, and body of the command's answer."""
        with closing(http.client.HTTPConnection(HOST, self._port, timeout=_ANSWER_S)) as link:
            headers = {"Content-Type": content_type, "Accept": accept or "*/*"}
            link.request("POST", "/invocations", body, headers)
            answer = link.getresponse()
            about = {"type": answer.getheader("Content-Type", "application/octet-stream")}
            if (attributes := answer.getheader(_ATTRIBUTES)) is not None:
                about["attributes"] = attributes
            return answer.status, about, answer.read(LARGEST_ANSWER_BYTES + 1)

    def _look(self) -> None:
        """Kill a command that does not answer pings while it has nothing else to do."""
        misses = 0
        while not self._is_over.wait(PING_EVERY_S):
            # One that answers a request at a time may answer a ping only after it.
            misses = 0 if self._open or self._is_well() else misses + 1
            if misses == MISSES_MAX:
                self._problem = f"the command did not answer {misses} pings and was ended"
                for one in descendants(self._process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
                return

    def _is_well(self) -> bool:
        """Whether ``GET /ping`` answers 200."""
        with closing(http.client.HTTPConnection(HOST, self._port, timeout=PING_TIMEOUT_S)) as link:
            try:
                link.request("GET", "/ping")
                return link.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def _listeners(self) -> tuple[bool, str]:
        """Whether its own processes listen on the port, and what is wrong where others reach it."""
        addresses = {}
        for name in ("tcp", "tcp6"):
            with suppress(OSError):
                for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                    words = line.split()
                    address, _, number = words[1].partition(":")
                    if words[3] == _LISTENING and int(number, 16) == self._port:
                        addresses[f"socket:[{words[9]}]"] = address
        own = set()
        for process in descendants(self._process.pid):
            for place in Path(f"/proc/{process}/fd").glob("*"):
                with suppress(OSError):
                    own.add(str(place.readlink()))
        is_loopback = all(address.endswith("0100007F") for address in addresses.values())
        return addresses.keys() <= own, "" if is_loopback else (
            "the command listens on other addresses than 127.0.0.1: whoever reaches this machine "
            f"on port {self._port} can ask it past driftline"
        )

    def _send(self, frame: bytes) -> None:
        with self._sending, suppress(OSError):  # A server that is gone: `answer` notices.
            self._link.sendall(frame)


def _free_port() -> int:
    """Return a port that nobody listens on now."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise OSError(f"no free port of {_PORTS.start} to {_PORTS.stop - 1} was found")
