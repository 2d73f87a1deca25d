"""The body of a request of S3: taken out of its chunks, and held against what its headers say."""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, BinaryIO

from driftline.access.signature import DIGEST, SIGNED_CHUNKS, TRAILER, Chain
from driftline.serving.aws.served import WireError

# What is between two chunks, with the length of the next; and what is behind the last.
_HEAD = re.compile(rb"(?:\r\n)?([0-9a-fA-F]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?\r\n")
_HEAD_MAX, _TRAILERS_MAX = 100, 4096
_EMPTY = hashlib.sha256(b"").hexdigest()
_SIGNED = "x-amz-content-sha256"
_MEND = (
    "upload with --checksum-algorithm CRC32 (ChecksumAlgorithm), or set the client's "
    "request_checksum_calculation = when_required."
)
CHECKSUM = re.compile("x-amz-checksum-(?!algorithm|type|mode)")
Pieces = Generator[None, bytes, None]


class _Crc32:
    """CRC-32, as hashlib has other digests."""

    _value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# Of a whole body, by the header or the trailer that holds them. Too slow in Python are CRC-32C and
# CRC-64, AWS CLI 2's own choice.
_DIGESTS: dict[str, Any] = {
    _SIGNED: hashlib.sha256,
    "x-amz-checksum-sha256": hashlib.sha256,
    "x-amz-checksum-sha1": partial(hashlib.new, "sha1", usedforsecurity=False),
    "content-md5": partial(hashlib.new, "md5", usedforsecurity=False),
    "x-amz-checksum-crc32": _Crc32,
}


def receive_body(
    headers: Mapping[str, str], target: BinaryIO, limit: int, chain: Chain | None
) -> Pieces:
    """Write the content of a body whose pieces are sent here, and an empty one at its end.

    Refuses what is not as headers and trailers announce it. ``chain`` verifies chunks that say
    that they are signed; None: nobody asks for signatures.
    """
    word, trailer = headers.get(_SIGNED, ""), headers.get("x-amz-trailer", "").lower()
    expected = {name: value for name, value in headers.items() if name in _DIGESTS}
    if not DIGEST.fullmatch(word):
        expected.pop(_SIGNED, None)
    digests = {name: new() for name, new in _DIGESTS.items() if name in {*expected, trailer}}

    def write(piece: bytes) -> None:
        if target.tell() + len(piece) > limit:
            raise WireError("EntityTooLarge", f"At most {limit} bytes are taken.")
        target.write(piece)
        for digest in digests.values():
            digest.update(piece)

    is_signed = chain is not None and word.removesuffix(TRAILER) == SIGNED_CHUNKS
    unknown = [n for n in (*headers, trailer) if CHECKSUM.match(n) and n not in _DIGESTS]
    # What a signature's SHA-256 proves needs no second proof: so it is over plain HTTP.
    if unknown and _SIGNED not in expected and not is_signed:
        message = f"{unknown[0][:80]} cannot be verified here: {_MEND}"
        raise WireError("NotImplemented", message, 501)
    is_packed = not word and "aws-chunked" in headers.get("content-encoding", "")
    if is_packed or word.startswith("STREAMING-"):
        trailers = yield from _chunks(write, chain if is_signed else None, word.endswith(TRAILER))
        expected = trailers | expected
    else:
        while piece := (yield):
            write(piece)
    if trailer and trailer not in expected:
        raise WireError("IncompleteBody", f"The trailer {trailer[:80]} is missing.")
    for name, digest in ((name, hashed.digest()) for name, hashed in digests.items()):
        if expected[name] not in (digest.hex(), b64encode(digest).decode()):
            code = "XAmzContentSHA256Mismatch" if name == _SIGNED else "BadDigest"
            raise WireError(code, f"The {name} you specified did not match.")
    yield


def _chunks(
    write: Callable[[bytes], None], chain: Chain | None, is_trailed: bool
) -> Generator[None, bytes, dict[str, str]]:
    """Write what is in the chunks; return the trailers behind them."""
    buffer, size = bytearray(), -1
    while size:
        while (head := _HEAD.match(buffer)) is None:
            if len(buffer) > _HEAD_MAX:
                raise WireError("InvalidRequest", "A chunk begins with its length.")
            buffer += yield from _more()
        size, shown, digest = int(head[1], 16), (head[2] or b"").decode(), hashlib.sha256()
        del buffer[: head.end()]
        left = size
        while left:
            piece = bytes(buffer[:left])
            del buffer[:left]
            left -= len(piece)
            write(piece)
            digest.update(piece)
            if left:
                buffer += yield from _more()
        if chain is not None:
            chain(shown, "PAYLOAD", _EMPTY, digest.hexdigest())
    while piece := (yield):
        buffer += piece
        if len(buffer) > _TRAILERS_MAX:
            raise WireError("InvalidRequest", "The trailers are too long.")
    lines = (line.decode("latin-1").partition(":") for line in buffer.splitlines())
    trailers = {name.strip().lower(): value.strip() for name, sign, value in lines if sign}
    shown = trailers.pop("x-amz-trailer-signature", "")
    if chain is not None and (trailers or is_trailed):
        text = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        chain(shown, "TRAILER", hashlib.sha256(text.encode("latin-1")).hexdigest())
    return trailers


def _more() -> Generator[None, bytes, bytes]:
    piece = yield
    if not piece:
        raise WireError("IncompleteBody", "The body ended before its last chunk.")
    return piece
