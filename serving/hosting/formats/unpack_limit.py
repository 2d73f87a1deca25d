"""How much an archive may unpack to. Its own headers are not trusted."""

from __future__ import annotations

from copy import copy
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from driftline.serving.hosting.formats.model_format import ModelError

RATIO_MAX = 10  # Models hardly ever reach it.
_CHUNK = 1 << 20


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

    def take_members(self, archive: ZipFile) -> None:
        """Count all members of a zip file by the size that they have, whatever they say."""
        for member in archive.infolist():
            if member.compress_type == ZIP_STORED:
                self.take(member.compress_size)
            elif member.compress_type == ZIP_DEFLATED:
                self._take_deflated(archive, member)
            else:  # Of which a chunk may unpack to any size.
                raise ModelError(f'"{member.filename[:80]}" is compressed other than by deflate')

    def _take_deflated(self, archive: ZipFile, member: ZipInfo) -> None:
        unlimited = copy(member)
        unlimited.file_size = (
            self._left + 2 * _CHUNK
        )  # Where reading ends: later than it is refused.
        with archive.open(unlimited) as stream:
            while chunk := stream.read(_CHUNK):
                self.take(len(chunk))
