"""Secrets of channels: encrypted where they are stored, or named by reference; never shown.

A stored secret is ``sealed:`` and Fernet's token, or ``env:NAME`` where it is kept elsewhere: in a
variable of the sending process, or in the file that NAME_FILE names. Only variables that begin with
DRIFTLINE_CHANNEL_ are read, since their values are sent to whatever URL a channel has.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from driftline.alerts.errors import ChannelError
from driftline.errors import UnavailableError

_PREFIX = "whsec_"
_NEW_SECRET_BYTES = 32
_SEALED = "sealed:"
_ENV = "env:"
# Two underscores would be a section and a key of the settings.
_VARIABLE = re.compile(r"DRIFTLINE_CHANNEL(_[A-Z0-9]+)+")
_FILE_MAX_BYTES = 16_384


class Secret:
    """A text that does not show in messages, logs or dictionaries."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself, for signing and storing only."""
        return self._text

    def __repr__(self) -> str:
        """Show that there is one."""
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def new(cls) -> Secret:
        """Create a new random one, as Standard Webhooks writes it."""
        return cls(_PREFIX + base64.b64encode(secrets.token_bytes(_NEW_SECRET_BYTES)).decode())


class Vault:
    """Seals secrets before they are stored and opens them before they are used.

    The first Fernet key seals, all of them open; without any, nothing is sealed (tests).
    """

    def __init__(self, *keys: str, environment: Mapping[str, str] | None = None) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except (ValueError, TypeError) as error:
            raise ChannelError(
                "[notify] secrets_key is no key; expected 32 bytes in URL-safe base64, made for "
                "example by `python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'`"
            ) from error
        self._environment = os.environ if environment is None else environment

    @classmethod
    def at(cls, keys: str, key_file: Path) -> Vault:
        """Make the vault of an installation."""
        given = keys.replace(",", " ").split()
        if not (given := given or _read_key_file(key_file)):
            raise UnavailableError(
                f"{key_file}: holds no key of channels' secrets; put the key back, or remove the "
                "file to have a new one made and declare the channels' secrets anew"
            )
        return cls(*given)

    def seal(self, text: str) -> str:
        """Return what is stored in a secret's place; references stay as they are."""
        if self._fernet is None or is_reference(text) or not text:
            return text
        return _SEALED + self._fernet.encrypt(text.encode()).decode()

    def unseal(self, stored: str) -> str:
        """Return what was sealed; a reference is given as it is."""
        if not stored.startswith(_SEALED):
            return stored
        with contextlib.suppress(InvalidToken):
            if self._fernet is not None:
                return self._fernet.decrypt(stored.removeprefix(_SEALED)).decode()
        raise UnavailableError(
            "a secret was sealed with another key; give all machines the same [notify] "
            "secrets_key, or this one the channels.key of the machine where it was declared"
        )

    def open(self, stored: str) -> Secret:
        """Return a secret for use: unsealed, and looked up where it is a reference."""
        text = self.unseal(stored)
        if not is_reference(text):
            return Secret(text)
        name = variable_of(text)
        if file := self._environment.get(f"{name}_FILE"):
            return Secret(_read_file(text, Path(file)))
        if found := self._environment.get(name):
            return Secret(found.strip())
        raise UnavailableError(f"{text}: this process has no such environment variable")


def is_reference(text: str) -> bool:
    """Whether a text names a secret that is kept elsewhere, as ``env:NAME``."""
    return text.startswith(_ENV)


def variable_of(reference: str, where: str = "") -> str:
    """Return the variable that a reference names; refuse one not made for channels."""
    name = reference.removeprefix(_ENV)
    if _VARIABLE.fullmatch(name) is None:
        raise ChannelError(
            f"{where}{reference[:80]}: expected a variable such as env:DRIFTLINE_CHANNEL_PAGER; no "
            "variable of another name is sent to a channel"
        )
    return name


def _read_file(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UnavailableError(f"{reference}: {path} cannot be read ({reason})") from error


def _read_key_file(path: Path) -> list[str]:
    """Read the keys of a file, one a line; make it when it is not there."""
    try:
        with contextlib.suppress(FileNotFoundError):
            return path.read_text(encoding="ascii").split()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written whole under another name first: who comes second must not read half a key.
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(
            f"{path}: the key of channels' secrets can be neither read nor made ({error}); give "
            "DRIFTLINE_NOTIFY__SECRETS_KEY instead"
        ) from error
