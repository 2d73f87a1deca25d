"""What ends a process: the exit code of each error, and its words.

==== ===============================================================================
0    all right
1    it found something: violations, a defect of the installation
2    wrong use, or input that cannot be read
3    it could not be decided or done: too little data, a crash
4    a server, database or disk that it needs is not available; trying again can help
==== ===============================================================================
"""

from __future__ import annotations

import errno
import socket
import sys
import traceback

from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError

INPUT = 2
UNDECIDED = 3
UNAVAILABLE = 4

# What the system says of a disk that is full or gone, and of a machine that does not answer.
_OUTAGES = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
))  # fmt: skip


def exit_code(error: BaseException) -> int:
    """Return the code that a process ends with because of an error."""
    if isinstance(error, InputError):
        return INPUT
    if isinstance(error, UndecidedError):  # Before all: a damaged table is storage, too.
        return UNDECIDED
    return UNAVAILABLE if isinstance(error, UnavailableError) or is_outage(error) else UNDECIDED


def last_words(error: Exception) -> str:
    """Return what a process says of the error that ends it: a sentence, or a defect's traceback."""
    if isinstance(error, DriftlineError):
        return f"driftline: {error}"
    if is_outage(error):
        reason = str(error).partition("\n")[0]
        return f"driftline: not available: {reason}"
    trace = "".join(traceback.format_exception(error))
    return f"{trace}driftline: this is a defect; please report it with the lines above"


def is_outage(error: BaseException) -> bool:
    """Whether an error that is not driftline's own says that a disk, host or database is away."""
    if isinstance(error, TimeoutError | socket.gaierror):
        return True  # Neither has a number of the system: a host that is slow, or has no address.
    if isinstance(error, OSError):
        return error.errno in _OUTAGES
    # Only a process that has loaded SQLAlchemy can meet its errors; a check never loads it.
    if "sqlalchemy.exc" not in sys.modules:
        return False
    from sqlalchemy.exc import SQLAlchemyError

    from driftline.database.disconnects import is_disconnect

    return isinstance(error, SQLAlchemyError) and is_disconnect(error)


def error_of(code: int, message: str) -> DriftlineError:
    """Return the error for the exit code of another process, so that this one ends with it too."""
    return {INPUT: InputError, UNAVAILABLE: UnavailableError}.get(code, DriftlineError)(message)
