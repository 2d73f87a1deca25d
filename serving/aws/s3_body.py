"""The body of an upload to S3: its chunks, and what it must add up to."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import BinaryIO

BLOCK = 1 << 20
# A line between chunks: a length, a signature, a checksum; and how many stand at the end.
_LINE_MAX, _TRAILERS_MAX = 1024, 10
_HASHES = {"x-amz-checksum-sha256": "sha256", "x-amz-checksum-sha1": "sha1", "content-md5": "md5"}
_CRC, _SIGNED, _LENGTH = (
    "x-amz-checksum-crc32", "x-amz-content-sha256", "x-amz-decoded-content-length"
)  # fmt: skip


class BadBodyError(Exception):
    """A body is not what its headers say."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unchunked:
    """Takes the framing of ``aws-chunked`` off a body that comes in pieces of any length."""

    def __init__(self, trailers: dict[str, str]) -> None:
        self._trailers = trailers  # Filled with what stands behind the chunks.
        self._buffer, self._left = bytearray(), 0
        self._is_last, self._is_behind = False, False

    def feed(self, data: bytes) -> bytes:
        """Return the content of the next piece."""
        self._buffer += data
        found = bytearray()
        while True:
            if self._left:
                part = self._buffer[: self._left]
                del self._buffer[: len(part)]
                found += part
                self._left -= len(part)
                self._is_behind = not self._left
            end = self._buffer.find(b"\r\n", 0, _LINE_MAX)
            if self._left or end < 0:
                if len(self._buffer) >= _LINE_MAX:
                    raise BadBodyError("InvalidRequest", "A line between chunks is too long.")
                return bytes(found)
            self._read(bytes(self._buffer[:end]))
            del self._buffer[: end + 2]

    def _read(self, line: bytes) -> None:
        if self._is_last:
            name, _, value = line.decode("latin-1").partition(":")
            if len(self._trailers) < _TRAILERS_MAX:
                self._trailers[name.strip().lower()] = value.strip()
        elif self._is_behind and not line:
            self._is_behind = False
        else:
            length = line.partition(b";")[0]
            if self._is_behind or not re.fullmatch(rb"[0-9a-fA-F]{1,10}", length):
                raise BadBodyError("InvalidRequest", "A chunk has no length.")
            self._left = int(length, 16)
            self._is_last = not self._left

    def end(self) -> None:
        """Refuse a body whose last chunk is missing."""
        if not self._is_last:
            raise BadBodyError("IncompleteBody", "The body ended before its last chunk.")


class Received:
    """Counts and digests a body as it is written, as far as its headers ask for it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers, self.count, self._crc = headers, 0, 0
        self.trailers: dict[str, str] = {}
        self._trailer = headers.get("x-amz-trailer", "").strip().lower()
        kinds = {kind for name, kind in _HASHES.items() if name in headers or name == self._trailer}
        self._is_signed = re.fullmatch(r"[0-9a-f]{64}", headers.get(_SIGNED, "")) is not None
        kinds |= {"sha256"} if self._is_signed else set()
        self._hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}

    @property
    def etag(self) -> str:
        """The ETag of a part."""
        return f'"{self._crc:08x}-{self.count:x}"'

    def write(self, block: bytes, target: BinaryIO) -> None:
        """Write a block, and count it."""
        target.write(block)
        self.count += len(block)
        self._crc = zlib.crc32(block, self._crc)
        for one in self._hashes.values():
            one.update(block)

    def check(self) -> None:
        """Refuse a body that is not what was announced."""
        said = {**self._headers, **self.trailers}
        if said.get(_LENGTH, str(self.count)) != str(self.count):
            raise BadBodyError("IncompleteBody", f"{self.count} bytes came; more were announced.")
        if self._trailer and self._trailer not in said:
            raise BadBodyError("IncompleteBody", f"The trailer {self._trailer} is missing.")
        found = {_CRC: self._crc.to_bytes(4, "big")}
        found |= {
            name: self._hashes[kind].digest()
            for name, kind in _HASHES.items()
            if kind in self._hashes
        }
        for name, digest in found.items():
            if name in said and said[name] != base64.b64encode(digest).decode():
                raise BadBodyError("BadDigest", f"The {name} you specified did not match.")
        if self._is_signed and self._hashes["sha256"].hexdigest() != said[_SIGNED]:
            raise BadBodyError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
