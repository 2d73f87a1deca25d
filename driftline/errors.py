"""The root of every error that driftline raises on purpose.

::

    DriftlineError
    ├── InputError          what was asked for is wrong; asking again the same way cannot help
    │   ├── NotFoundError   the thing that was named does not exist
    │   ├── ConflictError   the thing that was named is in the way
    │   └── ForbiddenError  who asks may not do that
    ├── UndecidedError      the question was right, the data cannot answer it (too little, gone)
    └── UnavailableError    something that is needed cannot be reached now; asking again can help

Packages derive their own errors from these. The command line maps them to exit codes
(driftline/app/exit_codes.py) and the server to HTTP codes, each in one table. A message says what
is wrong, with which value, what was expected, and the mend.
"""

from __future__ import annotations

import os


class DriftlineError(Exception):
    """Anything that driftline itself reports; ``retriable`` says whether trying again can help.

    ``fault`` is the type of what a program of somebody else's raised, "" where it was none;
    ``record`` the number, from 1, of the record that it failed on.
    """

    retriable: bool = False
    fault: str = ""
    record: int | None = None


class InputError(DriftlineError):
    """The input is wrong: a value, a file, a name, a combination."""


class NotFoundError(InputError):
    """Something that was named does not exist."""


class ConflictError(InputError):
    """Something that exists, or changed meanwhile, is in the way."""


class ForbiddenError(InputError):
    """The caller is unknown, or may not do this."""


class UndecidedError(DriftlineError):
    """The question is right, but what there is cannot answer it."""


class UnavailableError(DriftlineError):
    """Something that is needed cannot be reached now."""

    retriable = True


def reason_of(error: OSError) -> str:
    """Return why a file cannot be used, in words: without the number and the path of the error."""
    return os.strerror(error.errno) if error.errno else str(error)
