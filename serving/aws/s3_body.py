"""The body of a request of S3: taken out of its chunks, and held against what its headers say."""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Generator, Mapping
from functools import partial
from typing import Any, BinaryIO

from driftline.access.signature import DIGEST, SIGNED_CHUNKS, TRAILER, Chain
from driftline.serving.aws.served import WireError

# What is between two chunks, with the length of the next; and what is behind the last.
_HEAD = re.compile(rb"(?:\r\n)?([0-9a-fA-F]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?\r\n")
_HEAD_MAX, _TRAILERS_MAX = 100, 4096
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
    _SIGNED: hashlib.sha256,
    "x-amz-checksum-sha256": hashlib.sha256,
    "x-amz-checksum-sha1": partial(hashlib.new, "sha1", usedforsecurity=False),
    "content-md5": partial(hashlib.new, "md5", usedforsecurity=False),
    "x-amz-checksum-crc32": _Crc32,
}


class RequestBody:
    """Writes the content of a body that comes in pieces; refuses what is not as it was announced.

    ``chain``: verifies chunks that say that they are signed; None: nobody asks for signatures.
    """

    def __init__(
        self, headers: Mapping[str, str], target: BinaryIO, limit: int, chain: Chain | None
    ) -> None:
        word, encoding = headers.get(_SIGNED, ""), headers.get("content-encoding", "")
        self._trailer = headers.get("x-amz-trailer", "").lower()
        self._expected = {name: value for name, value in headers.items() if name in _DIGESTS}
        if not DIGEST.fullmatch(word):
            self._expected.pop(_SIGNED, None)
        named = {self._trailer, *self._expected}
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
        trailers = self._trailers() if self._is_whole else {}
        if not self._is_whole or (self._trailer and self._trailer not in trailers):
            raise WireError("IncompleteBody", f"The body ended after {self._size} bytes.")
        expected = trailers | self._expected
        for name, hashed in self._digests.items():
            digest = hashed.digest()
            if expected[name] not in (digest.hex(), b64encode(digest).decode()):
                code = "XAmzContentSHA256Mismatch" if name == _SIGNED else "BadDigest"
                raise WireError(code, f"The {name} you specified did not match.")

    def _trailers(self) -> dict[str, str]:
        """Return the trailers, verified where they are signed."""
        lines = (line.decode("latin-1").partition(":") for line in self._buffer.splitlines())
        trailers = {name.strip().lower(): value.strip() for name, sign, value in lines if sign}
        shown = trailers.pop("x-amz-trailer-signature", "")
        if self._chain is not None and (trailers or self._is_trailed):
            text = "".join(f"{name}:{value}\n" for name, value in trailers.items())
            self._chain(shown, "TRAILER", hashlib.sha256(text.encode("latin-1")).hexdigest())
        return trailers

    def _write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise WireError("EntityTooLarge", f"At most {self._limit} bytes are taken.")
        self._target.write(piece)
        for digest in self._digests.values():
            digest.update(piece)

    def _plain(self) -> Pieces:
        while True:
            self._write((yield))

    def _chunked(self) -> Pieces:
        """Write what is in the chunks; what is behind the last one stays in the buffer."""
        size = -1
        while size:
            while (head := _HEAD.match(self._buffer)) is None:
                if len(self._buffer) > _HEAD_MAX:
                    raise WireError("InvalidRequest", "A chunk begins with its length.")
                self._buffer += yield
            size, shown, digest = int(head[1], 16), (head[2] or b"").decode(), hashlib.sha256()
            del self._buffer[: head.end()]
            left = size
            while left:
                piece = bytes(self._buffer[:left])
                del self._buffer[:left]
                left -= len(piece)
                self._write(piece)
                digest.update(piece)
                if left:
                    self._buffer += yield
            if self._chain is not None:
                self._chain(shown, "PAYLOAD", _EMPTY, digest.hexdigest())
        self._is_whole = True
        while len(self._buffer) <= _TRAILERS_MAX:
            self._buffer += yield
        raise WireError("InvalidRequest", "The trailers are too long.")
