"""Runs a record script in a child process with limits.

The limits (time per record, memory, file sizes, own folder, no secrets in the environment) guard
against accidents. They are no jail: the script runs as the same user, with network access.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from io import FileIO
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, BinaryIO, Literal

from driftline import child
from driftline.errors import InputError, NotFoundError, UndecidedError

Handler = Literal["preprocess_handler", "postprocess_handler"]
# A parsed line of data capture, or a line of text as it is.
Record = Mapping[str, Any] | str
Row = dict[str, str | None]
CHILD = Path(__file__).with_name("scripting_child.py")
# Longest time that one record may take, and loading the script.
RECORD_S = 30.0
# The watchdog in the child knows the script's line; this one is for a script that stops it.
GRACE_S = 10.0
# Of the process, and of any file that it writes.
MEMORY_BYTES, FILE_BYTES = 2 << 30, 1 << 30
# For a script's own end, such as functions that it has registered for it.
FAREWELL_S = 2.0
READ_BYTES = 1 << 20


def run_script(
    script: str | os.PathLike[str],
    handler: Handler,
    records: Iterable[Record | None],
    *,
    discreet: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Generator[list[Row]]:
    """Call a script's handler on each record and yield its rows; None: without any argument.

    `discreet` drops what the script prints and logs, which goes to standard error otherwise, and
    leaves the text of its exceptions out of errors: both may quote a record. A failure of the
    script is an InputError, a timeout or crash an UndecidedError.
    """
    path = Path(script).resolve()
    if not path.is_file():
        raise NotFoundError(f"{os.fspath(script)}: no such file; expected a script in Python")
    if os.name != "posix":
        raise InputError("record scripts run on Linux and macOS only")
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="driftline-script-"))
        given, faults = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        for record in records:
            given.write(json.dumps(record).encode("ascii") + b"\n")
        given.seek(0)
        reading, writing = os.pipe()
        answers = stack.enter_context(FileIO(reading))
        descriptors = writing, faults.fileno()
        argv = [str(path), handler, str(RECORD_S), *map(str, descriptors)]
        try:
            process = stack.enter_context(
                child.started(
                    [sys.executable, "-Iu", str(CHILD), *argv],
                    child.Limits(memory_bytes=MEMORY_BYTES, file_bytes=FILE_BYTES),
                    environment={"HOME": home, "TMPDIR": home, **(environment or {})},
                    cwd=home,
                    stdin=given.fileno(),
                    stderr=subprocess.DEVNULL if discreet else None,
                    pass_fds=descriptors,
                )
            )
        finally:
            os.close(writing)
        done = 0
        try:
            for answer in _answers(answers, process):
                if not isinstance(answer, list):
                    raise _failed(script, handler, answer, discreet=discreet)
                yield answer
                done += 1
            # Let the script end by itself, before it is ended.
            with suppress(subprocess.TimeoutExpired):
                process.wait(FAREWELL_S)
        except EOFError:
            told = _gone(path, process.wait(), faults)
            raise UndecidedError(f"{os.fspath(script)}{told}{_after(done)}") from None
        except subprocess.TimeoutExpired:
            told = f": did not answer within {RECORD_S:g} s"
            raise UndecidedError(f"{os.fspath(script)}{told}{_after(done)}") from None
        except ValueError as error:
            raise UndecidedError(f"{os.fspath(script)}: {error}{_after(done)}") from None


def _answers(
    answers: FileIO, process: subprocess.Popen[bytes]
) -> Iterator[list[Row] | dict[str, Any]]:
    """Yield the child's answers; EOFError where it ends before the last, which is null.

    TimeoutExpired where it neither answers nor ends, ValueError where something else than the
    child has written.
    """
    limit_s, begun = RECORD_S + GRACE_S, b""
    # Not select(2), which refuses descriptors above 1,023: a server has such.
    while wait([answers.fileno()], limit_s):
        part = answers.read(READ_BYTES)
        if not part:
            process.wait(limit_s)  # A script may have closed its answers and go on.
            raise EOFError
        *lines, begun = (begun + part).split(b"\n")
        for line in lines:
            try:
                answer = json.loads(line)
            except ValueError:
                answer = {}
            if answer is None:
                return
            if not isinstance(answer, list) and not {*answer} & {"said", "missing"}:
                raise ValueError(
                    "the script wrote into the files that its answers go through, or started "
                    "processes that did; expected it to leave alone what it did not open"
                )
            yield answer
    raise subprocess.TimeoutExpired(process.args, limit_s)


def _failed(
    script: str | os.PathLike[str], handler: Handler, told: Mapping[str, Any], *, discreet: bool
) -> InputError:
    """Describe the script's own exception."""
    shown, is_on_records = os.fspath(script), handler == "preprocess_handler"
    if told.get("missing"):
        argument = "inference_record" if is_on_records else ""
        return InputError(f"{shown}: no function {handler}; expected def {handler}({argument})")
    line = f", line {told['line']}" if told["line"] else ""
    record = told.get("record") if is_on_records else None
    at = "" if record is None else f" (record {record:,})"
    error = InputError(f"{shown}{line}: {told['type'] if discreet else told['said']}{at}")
    error.fault, error.record = told["type"], record
    return error


def _gone(path: Path, code: int, faults: BinaryIO) -> str:
    """Describe how the process ended, from the watchdog's file."""
    faults.seek(0)
    text = faults.read().decode("utf-8", "replace")
    own = re.search(rf'File "{re.escape(str(path))}", line (\d+)', text)
    if text.startswith("Timeout"):
        why = f"took longer than {RECORD_S:g} s; make it faster, or leave out what waits"
    elif code < 0:
        why = f"crashed ({signal.Signals(-code).name})"
    else:
        why = f"ended its process (exit code {code})"
    return f"{f', line {own[1]}' if own else ''}: the script {why}"


def _after(done: int) -> str:
    return f", after {done:,} records" if done else ""
