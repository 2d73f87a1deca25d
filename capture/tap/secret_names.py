"""Names under which apps send secrets, such as passwords and tokens. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

# A name that ends with one of these holds a secret, in any case and with any signs in between.
SECRET_NAMES = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "jwt", "authorization", "cookie",
    "credential", "credentials", "api_key", "access_key", "private_key", "secret_key",
)  # fmt: skip
_SIGNS = r"[\W_]*"


def pattern_of(names: Sequence[str]) -> str:
    """Return a pattern that finds such names; Python's ``re`` and RE2 read it alike."""
    words = (re.findall(r"[^\W_]+", name) for name in names)
    return f"(?i:{'|'.join(_SIGNS.join(map(re.escape, parts)) for parts in words if parts)})"


@lru_cache(maxsize=64)
def _ending(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(pattern_of(names) + _SIGNS + r"\Z")


def is_secret(name: str, names: tuple[str, ...] = SECRET_NAMES) -> bool:
    """Whether a field or header of this name holds a secret."""
    return bool(names) and _ending(names).search(name) is not None
