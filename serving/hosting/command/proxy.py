"""Forwards requests to a command as they come, many at once, and checks its health.

Runs in a worker process in place of a model. When the server closes the socket, or is gone, the
command ends with all its children; when the command ends, this process does, and the pool starts
another one.
"""

from __future__ import annotations

import http.client
import logging
import os
import select
import selectors
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from driftline.errors import DriftlineError, InputError
from driftline.serving.bodies.media_types import MEDIA_TYPES
from driftline.serving.hosting.command.process import HOST, CommandProcess, ended
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
from driftline.serving.resources.worker_spec import WorkerSpec

log = logging.getLogger(__name__)

OPEN_MAX = 64  # More requests wait their turn.
PING_EVERY_S, MISSES_MAX = 5.0, 3
START_LOOK_S = 0.05
LARGEST_ANSWER_BYTES = 100 << 20
# The pool waits less; whoever asks nothing more is not to hold a thread for ever.
_ANSWER_S = 3600.0
_ENDS_IN_S = 1.0
_unpacked = Unpacked()


def serve_command(link: socket.socket, spec: WorkerSpec) -> None:
    """Start the command of a spec, and answer by it until it or the socket ends."""
    try:
        process = _start(spec)
    except (DriftlineError, OSError) as error:
        link.sendall(pack({"refused": str(error)}))
        return
    try:
        problem = _await_ready(link, process)
        if problem == "":
            link.sendall(pack({"ready": asdict(OF_BODIES), "warning": _exposed(process)}))
            _Proxy(link, process).run()
        elif problem is not None:
            link.sendall(pack({"lost": problem}))
    finally:
        process.end()


def _start(spec: WorkerSpec) -> CommandProcess:
    assert spec.command is not None
    if not spec.trust_commands:
        raise ModelError(
            f'model "{spec.name}" is a command, which this installation does not run; allow '
            "it by [serving] trust_commands = true"
        )
    if sys.platform != "linux":  # Without /proc and process descriptors nobody ends it whole.
        raise ModelError(f'model "{spec.name}" is a command; these run on Linux only')
    path = Path(spec.path)
    if path.is_file() and path.name.lower().endswith(MODEL_FORMATS[ARCHIVE].suffixes):
        model_dir = _unpacked.folder(path)
    else:
        model_dir = path if path.is_dir() else path.parent
    try:
        return CommandProcess(spec.command, model_dir, spec.memory_bytes)
    except (OSError, ValueError) as error:  # A NUL in an argument, too.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f'command "{spec.command[0][:80]}" cannot be started ({reason}); expected a '
            "program on the PATH of the server, or a path from the model's folder on"
        ) from error


def _await_ready(link: socket.socket, process: CommandProcess) -> str | None:
    """Wait for the first answer to a ping: ""; else what is wrong, or None when nobody waits."""
    while (code := process.exit_code) is None:
        # The server sends nothing before it is told: what can be read is its end.
        if select.select([link], [], [], START_LOOK_S)[0]:
            return None
        if process.is_well():
            if process.listeners()[0]:
                return ""
            return f"port {process.port} is answered by another program; it is tried again"
    return (
        f"the command {ended(code)} before GET /ping answered 200 on port {process.port} "
        "(SAGEMAKER_BIND_TO_PORT)"
    )


def _exposed(process: CommandProcess) -> str:
    if process.listeners()[1]:
        return ""
    return (
        "the command listens on other addresses than 127.0.0.1: whoever reaches this machine on "
        f"port {process.port} can ask it past driftline"
    )


class _Proxy:
    """One running command, and the requests that it has."""

    def __init__(self, link: socket.socket, process: CommandProcess) -> None:
        self._link, self._process = link, process
        self._problem = ""
        self._sending = threading.Lock()
        self._open = 0
        self._counting = threading.Lock()
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(OPEN_MAX, thread_name_prefix="request")

    def run(self) -> None:
        """Hand requests on until the socket or the command ends."""
        threading.Thread(target=self._look, daemon=True, name="ping").start()
        watched = os.pidfd_open(self._process.process_id)
        reader = FrameReader()
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._link, selectors.EVENT_READ)
                selector.register(watched, selectors.EVENT_READ)
                while True:
                    ready = {key.fd for key, _ in selector.select()}
                    if watched in ready:
                        # Its exit code is not told while another thread is asking for it.
                        self._process.has_ended(_ENDS_IN_S)
                        problem = self._problem or f"the command {ended(self._process.exit_code)}"
                        with self._sending, suppress(OSError):
                            send_last(self._link, pack({"lost": problem}))
                        return
                    data = self._link.recv(1 << 20)
                    if not data:
                        return
                    for header, body in reader.feed(data):
                        self._take(header, body)
        finally:
            self._is_over.set()
            os.close(watched)
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _take(self, header: dict[str, Any], body: bytes) -> None:
        if "op" in header:
            self._send(refuse(header, 400, "bad_request", NOT_EXPLAINED))
            return
        with self._counting:
            self._open += 1
        self._pool.submit(self._hand_on, header, body)

    def _hand_on(self, header: dict[str, Any], body: bytes) -> None:
        """Send a request to the command, and its answer to the server."""
        try:
            # Who asks by the form of a body means its media type.
            types = [MEDIA_TYPES.get(header[key], header[key]) for key in ("form", "answer")]
            status, media_type, answer = self._ask(body, *types)
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Of one that has ended nothing is said: the server asks the next one.
            if not self._process.has_ended(_ENDS_IN_S):
                self._send(refuse(header, 424, "model_error", _broken(error)))
            return
        finally:
            with self._counting:
                self._open -= 1
        if len(answer) > LARGEST_ANSWER_BYTES:
            message = f"the model's answer has more than {LARGEST_ANSWER_BYTES >> 20} MiB"
            self._send(refuse(header, 424, "model_error", message))
        elif 200 <= status < 300:
            self._send(respond(header, answer, status=200, type=media_type))
        else:
            said = answer[:2000].decode(errors="replace").strip()
            self._send(received(header, status, said))

    def _ask(self, body: bytes, content_type: str, accept: str) -> tuple[int, str, bytes]:
        link = http.client.HTTPConnection(HOST, self._process.port, timeout=_ANSWER_S)
        try:
            headers = {"Content-Type": content_type, "Accept": accept or "*/*"}
            link.request("POST", "/invocations", body, headers)
            answer = link.getresponse()
            kind = answer.getheader("Content-Type", "application/octet-stream")
            return answer.status, kind, answer.read(LARGEST_ANSWER_BYTES + 1)
        finally:
            link.close()

    def _look(self) -> None:
        """Kill a command that does not answer pings while it has nothing else to do."""
        misses = 0
        while not self._is_over.wait(PING_EVERY_S):
            # One that answers a request at a time may answer a ping only after it.
            if self._open or self._process.is_well():
                misses = 0
                continue
            misses += 1
            if misses == MISSES_MAX:
                self._problem = f"the command did not answer {misses} pings and was ended"
                self._process.kill()
                return

    def _send(self, frame: bytes) -> None:
        with self._sending, suppress(OSError):  # A server that is gone: `run` notices.
            self._link.sendall(frame)


def _broken(error: Exception) -> str:
    said = str(error).splitlines()
    reason = said[0][:200] if said else type(error).__name__
    return f"the model's server broke the connection off ({type(error).__name__}: {reason})"
