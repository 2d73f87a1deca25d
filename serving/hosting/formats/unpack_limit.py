"""How much an archive may unpack to. Its own headers are not trusted."""

from __future__ import annotations

from driftline.serving.hosting.formats.model_format import ModelError

RATIO_MAX = 10  # Models hardly ever reach it.


class UnpackLimit:
    """The bytes that one archive may still unpack to: ten times its size, or ``floor`` if more."""

    def __init__(self, name: str, packed_bytes: int, floor: int) -> None:
        self._left = max(RATIO_MAX * packed_bytes, floor)
        self._refusal = (
            f"{name} is too large unpacked; expected at most {RATIO_MAX} times its "
            f"{packed_bytes} bytes, or {floor >> 20} MiB"
        )

    def take(self, size: int) -> None:
        """Count bytes that are about to be unpacked, or refuse them."""
        self._left -= size
        if self._left < 0:
            raise ModelError(self._refusal)
