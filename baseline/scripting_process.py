"""Runs a record script in a child process with limits.

The limits (time per record, memory, file sizes, own folder, no secrets in the environment) guard
against accidents. They are no jail: the script runs as the same user, with network access.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

from driftline import child
from driftline.child import started
from driftline.errors import InputError, NotFoundError, UndecidedError

log = logging.getLogger(__name__)

Handler = Literal["preprocess_handler", "postprocess_handler"]
# A parsed line of data capture, or a line of text as it is.
Record = Mapping[str, Any] | str
CHILD = Path(__file__).with_name("scripting_child.py")
# The watchdog in the child knows the script's line; this one is for a child that it cannot end.
GRACE_S = 10.0
# For a script's own end, such as functions that it has registered for it.
FAREWELL_S = 2.0
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a script."""

    # Longest time that one record may take, and loading the script; seconds.
    record_s: float = 30.0
    # memory_bytes, file_bytes: of the process, and of any file that it writes.
    memory_bytes: int = 2 << 30
    file_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Answer:
    """A script's result for a batch of records."""

    # By key, in order of appearance: a text, or None, for each row.
    columns: Mapping[str, Sequence[str | None]]
    counts: Sequence[int]  # Rows of each record; 0 for one that was dropped.


class ScriptProcess:
    """Runs one handler of a script; a context manager.

    `quiet` drops the script's prints, which go to standard error otherwise. `discreet` leaves the
    text of its exceptions out of errors, because it may quote a record. A failure of the script is
    an InputError, a timeout or crash an UndecidedError.
    """

    def __init__(
        self,
        script: str | os.PathLike[str],
        handler: Handler,
        *,
        limits: Limits | None = None,
        quiet: bool = False,
        discreet: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._shown = os.fspath(script)
        self._script = Path(script).resolve()
        if not self._script.is_file():
            raise NotFoundError(f"{self._shown}: no such file; expected a script in Python")
        self._handler, self._limits = handler, limits or Limits()
        self._quiet, self._discreet = quiet, discreet
        self._environment = dict(environment or {})
        self._done = 0
        self._buffer = b""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        if os.name != "posix":
            raise InputError("record scripts run on Linux and macOS only")
        home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="driftline-script-"))
        self._faults: BinaryIO = self._stack.enter_context(
            tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
        )
        self._answers, given = os.pipe()
        self._stack.callback(os.close, self._answers)
        descriptors = given, self._faults.fileno()
        try:
            self._process = self._stack.enter_context(
                started(
                    [sys.executable, "-Iu", str(CHILD), *map(str, descriptors)],
                    child.Limits(
                        memory_bytes=self._limits.memory_bytes, file_bytes=self._limits.file_bytes
                    ),
                    environment={"HOME": home, "TMPDIR": home, **self._environment},
                    cwd=home,
                    stdin=subprocess.PIPE,
                    stderr=subprocess.DEVNULL if self._quiet else None,
                    pass_fds=descriptors,
                )
            )
        finally:
            os.close(given)
        self._stack.callback(self._stop)
        self._send({
            "script": str(self._script),
            "handler": self._handler,
            "record_s": self._limits.record_s,
        })  # fmt: skip
        self._receive()

    def _stop(self) -> None:
        """Let the script end by itself, before it is ended."""
        assert self._process.stdin is not None  # A pipe was asked for.
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(FAREWELL_S)

    def ask(self, records: Sequence[Record | None]) -> Answer:
        """Call the handler on each record; None: once without any argument."""
        self._send({"records": records})
        found = self._answer(self._receive(), len(records))
        self._done += len(records)
        return found

    def _answer(self, found: Mapping[str, Any], asked: int) -> Answer:
        """Validate an answer: a script can write wherever its process can."""
        columns, counts = found.get("columns"), found.get("counts")
        if not isinstance(columns, dict) or not isinstance(counts, list) or len(counts) != asked:
            raise self._disturbed()
        if not all(isinstance(one, int) and one >= 0 for one in counts):
            raise self._disturbed()
        rows = sum(counts)
        for one in columns.values():
            if not isinstance(one, list) or len(one) != rows:
                raise self._disturbed()
            if not all(text is None or isinstance(text, str) for text in one):
                raise self._disturbed()
        return Answer(columns, counts)

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None  # A pipe was asked for.
        try:
            self._process.stdin.write(json.dumps(value).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _receive(self) -> dict[str, Any]:
        """Wait for the answer; log messages come before it."""
        while True:
            line = self._line()
            try:
                found: dict[str, Any] = json.loads(line)
            except (ValueError, RecursionError):
                raise self._disturbed() from None
            if not isinstance(found, dict):
                raise self._disturbed()
            if "log" in found:
                level, text = found["log"]
                if not self._quiet:
                    log.log(level, "script=%s %s", self._script.name, text)
            elif "error" in found:
                raise self._failed(found["error"])
            elif "beat" not in found:
                return found

    def _line(self) -> bytes:
        parts = [self._buffer]
        latest = time.monotonic() + self._limits.record_s + GRACE_S
        while b"\n" not in parts[-1]:
            # Not select(2), which refuses descriptors above 1,023: a server has such.
            if not wait([self._answers], max(0, latest - time.monotonic())):
                raise UndecidedError(
                    f"{self._shown}: did not answer within {self._limits.record_s:g} s{self._at()}"
                )
            part = os.read(self._answers, READ_BYTES)
            if not part:
                raise self._gone()
            parts.append(part)
        line, _, self._buffer = b"".join(parts).partition(b"\n")
        return line

    def _disturbed(self) -> UndecidedError:
        return UndecidedError(
            f"{self._shown}: the script wrote into the files that its answers go through, or "
            "started processes that did; expected it to leave alone what it did not open"
            f"{self._at()}"
        )

    def _failed(self, told: Mapping[str, Any]) -> InputError:
        """Describe the script's own exception."""
        if told.get("missing"):
            argument = "inference_record" if self._handler == "preprocess_handler" else ""
            return InputError(
                f"{self._shown}: no function {self._handler}; expected "
                f"def {self._handler}({argument})"
            )
        line = f", line {told['line']}" if told["line"] else ""
        said = told["type"] if self._discreet else told["said"]
        place = told.get("place")
        at = "" if place is None else self._at(place)
        error = InputError(f"{self._shown}{line}: {said}{at}")
        error.fault = told["type"]
        if place is not None and at:
            error.record = self._done + place + 1
        return error

    def _gone(self) -> UndecidedError:
        """Describe how the process ended, from the watchdog's file."""
        code = self._process.wait()
        self._faults.seek(0)
        text = self._faults.read().decode("utf-8", "replace")
        own = re.search(rf'File "{re.escape(str(self._script))}", line (\d+)', text)
        line = f", line {own[1]}" if own else ""
        if text.startswith("Timeout"):
            why = (
                f"took longer than {self._limits.record_s:g} s; make it faster, or leave out "
                "what waits"
            )
        elif code < 0:
            why = f"crashed ({signal.Signals(-code).name})"
        else:
            why = f"ended its process (exit code {code})"
        return UndecidedError(f"{self._shown}{line}: the script {why}{self._at()}")

    def _at(self, place: int | None = None) -> str:
        if self._handler == "postprocess_handler":
            return ""
        if place is None:
            return f", after {self._done:,} records" if self._done else ""
        return f" (record {self._done + place + 1:,})"
