"""Names under which apps send secrets, such as passwords and tokens. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

# In any case and with any signs in between; a star stands for whatever is before or behind.
SECRET_NAMES = (
    "*password*", "*passwd*", "*secret*", "*passphrase", "*pwd", "*token", "*jwt",
    "*authorization", "*cookie", "*credential", "*credentials", "*api_key", "*access_key",
    "*private_key", "passcode", "otp", "pin", "session_id", "sid",
)  # fmt: skip
_SIGNS = r"[\W_]*"


def pattern_of(names: Sequence[str], begin: str, end: str) -> str:
    """Return a pattern that finds such names; Python's ``re`` and RE2 read it alike.

    ``begin``, ``end``: patterns of a name's borders, where no star stands.
    """
    found = []
    for name in names:
        words = _SIGNS.join(map(re.escape, re.findall(r"[^\W_]+", name)))
        left, right = name.startswith("*"), name.endswith("*")
        found.append(f"{'' if left else begin}{words}{'' if right else end}")
    return f"(?i:{'|'.join(found)})"


@lru_cache(maxsize=64)
def _whole(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(pattern_of(names, r"\A" + _SIGNS, _SIGNS + r"\Z"))


def is_secret(name: str, names: tuple[str, ...] = SECRET_NAMES) -> bool:
    """Whether a field or header of this name holds a secret."""
    return bool(names) and _whole(names).search(name) is not None
