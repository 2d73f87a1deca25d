"""The body of a request of S3: taken out of its chunks, and held against what its headers say."""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Generator, Mapping
from typing import Any, BinaryIO

from driftline.access.signature import DIGEST, SIGNED_CHUNKS, TRAILER, Chain
from driftline.serving.aws.served import WireError

# Of a line between chunks, with a length and a signature; of the trailers behind them.
_LINE_MAX, _TRAILERS_MAX = 1024, 4096
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?")
_EMPTY = hashlib.sha256(b"").hexdigest()
_SIGNED = "x-amz-content-sha256"
Pieces = Generator[None, bytes, None]


class _Crc32:
    """CRC-32, as hashlib has other digests."""

    _value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# Of a whole body, by the header or the trailer that holds them.
_DIGESTS: dict[str, Any] = {
    _SIGNED: hashlib.sha256, "x-amz-checksum-crc32": _Crc32, "content-md5": hashlib.md5,
    "x-amz-checksum-sha1": hashlib.sha1, "x-amz-checksum-sha256": hashlib.sha256,
}  # fmt: skip


class RequestBody:
    """Writes the content of a body that comes in pieces; refuses what is not as it was announced.

    ``chain``: verifies chunks that say that they are signed; None: nobody asks for signatures.
    """

    def __init__(
        self, headers: Mapping[str, str], target: BinaryIO, limit: int, chain: Chain | None
    ) -> None:
        word, encoding = headers.get(_SIGNED, ""), headers.get("content-encoding", "")
        self._said = {**headers} if DIGEST.fullmatch(word) else {**headers, _SIGNED: ""}
        self._trailer = headers.get("x-amz-trailer", "").lower()
        named = {self._trailer, *(name for name, one in self._said.items() if one)}
        self._digests = {name: new() for name, new in _DIGESTS.items() if name in named}
        self._target, self._limit, self._size = target, limit, 0
        self._chain = chain if word.removesuffix(TRAILER) == SIGNED_CHUNKS else None
        self._is_trailed = word.endswith(TRAILER)
        is_chunked = word.startswith("STREAMING-") or (not word and "aws-chunked" in encoding)
        self._buffer, self._is_whole = bytearray(), not is_chunked
        self._pieces = self._chunked() if is_chunked else self._plain()
        next(self._pieces)

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        self._pieces.send(piece)

    def end(self) -> None:
        """Refuse a body that is not whole, or another one than its headers and trailers say."""
        if self._is_whole:
            self._said = self._trailers() | self._said
        length = self._said.get("x-amz-decoded-content-length", str(self._size))
        is_missing = self._trailer and self._trailer not in self._said
        if not self._is_whole or is_missing or length != str(self._size):
            raise WireError("IncompleteBody", f"The body ended after {self._size} bytes.")
        for name, found in self._digests.items():
            digest = found.digest()
            if self._said[name] not in (digest.hex(), b64encode(digest).decode()):
                code = "XAmzContentSHA256Mismatch" if name == _SIGNED else "BadDigest"
                raise WireError(code, f"The {name} you specified did not match.")

    def _trailers(self) -> dict[str, str]:
        """Return the trailers, verified where they are signed."""
        lines = (one.decode("latin-1").partition(":") for one in self._buffer.splitlines())
        found = {name.strip().lower(): value.strip() for name, sign, value in lines if sign}
        shown = found.pop("x-amz-trailer-signature", "")
        if self._chain is not None and (found or self._is_trailed):
            text = "".join(f"{name}:{value}\n" for name, value in found.items())
            self._chain(shown, "TRAILER", hashlib.sha256(text.encode("latin-1")).hexdigest())
        return found

    def _write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise WireError("EntityTooLarge", f"At most {self._limit} bytes are taken.")
        self._target.write(piece)
        for one in self._digests.values():
            one.update(piece)

    def _plain(self) -> Pieces:
        while True:
            self._write((yield))

    def _chunked(self) -> Pieces:
        """Write what is in the chunks; what is behind the last one stays in the buffer."""
        size = -1
        while size:
            head = _CHUNK.fullmatch((yield from self._line()))
            if head is None:
                raise WireError("InvalidRequest", "A chunk has no length.")
            size = left = int(head[1], 16)
            digest = hashlib.sha256()
            while left:
                piece = bytes(self._buffer[:left])
                del self._buffer[:left]
                left -= len(piece)
                self._write(piece)
                digest.update(piece)
                if left:
                    self._buffer += yield
            if self._chain is not None:
                self._chain((head[2] or b"").decode(), "PAYLOAD", _EMPTY, digest.hexdigest())
            if size and (yield from self._line()):
                raise WireError("InvalidRequest", "A chunk is longer than it says.")
        self._is_whole = True
        while len(self._buffer) <= _TRAILERS_MAX:
            self._buffer += yield
        raise WireError("InvalidRequest", "The trailers are too long.")

    def _line(self) -> Generator[None, bytes, bytes]:
        while (end := self._buffer.find(b"\r\n", 0, _LINE_MAX)) < 0:
            if len(self._buffer) >= _LINE_MAX:
                raise WireError("InvalidRequest", "A line between chunks is too long.")
            self._buffer += yield
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line
