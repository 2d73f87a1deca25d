"""Keys of redaction, by which values are hashed, each with an id. Standard library only.

The last is the newest and hashes; the id before each hash names its key, so that keys can be
rotated gradually. No message, log or description shows them.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from driftline.errors import InputError

_ID = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_MIN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Key:
    """One key and its id; the secret is the UTF-8 of its text as it stands in the file."""

    id: str
    secret: bytes = field(repr=False)

    def hash(self, text: str) -> str:
        """Return ``ID:`` and the HMAC-SHA256 (RFC 2104) of a text as 64 hexadecimal digits."""
        digest = hmac.digest(self.secret, text.encode("utf-8", "surrogatepass"), "sha256")
        return f"{self.id}:{digest.hex()}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that there are, the newest last."""

    keys: Sequence[Key] = ()

    def choose(self, key_id: str = "") -> Key:
        """Return the key of an id, or the newest."""
        if not self.keys:
            raise InputError(
                "no key to hash with; set [capture] redact_keys_file to a file with lines ID:KEY, "
                "or DRIFTLINE_CAPTURE__REDACT_KEYS=ID:KEY"
            )
        if not key_id:
            return self.keys[-1]
        for key in self.keys:
            if key.id == key_id:
                return key
        known = ", ".join(f'"{key.id}"' for key in self.keys)
        raise InputError(f'key "{key_id}" is unknown; expected one of {known}')


def read_keys(text: str = "") -> Keys:
    """Read keys as ``ID:KEY``, separated by commas or blanks; a line that begins with # is none.

    The last is the newest.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = " ".join(lines).replace(",", " ").split()
    found = [
        _key(entry, f"[capture] redact_keys: key {number}")
        for number, entry in enumerate(entries, 1)
    ]
    ids = [key.id for key in found]
    for key_id in ids:
        if ids.count(key_id) > 1:
            raise InputError(f'redaction key "{key_id}" is given twice; give each an id of its own')
    return Keys(tuple(found))


def _key(entry: str, where: str) -> Key:
    key_id, colon, secret = (part.strip() for part in entry.partition(":"))
    if not colon or not _ID.fullmatch(key_id):
        raise InputError(f"{where}: not ID:KEY; expected an id of up to 32 letters, digits, - or _")
    size = len(secret.encode())
    if size < _MIN_BYTES:
        raise InputError(f'{where}: key "{key_id}" has {size} bytes; expected {_MIN_BYTES} or more')
    return Key(key_id, secret.encode())
