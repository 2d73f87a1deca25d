"""The body of a signed request: held against what is signed of it, and out of S3's chunks.

Source: Amazon S3 API Reference, "Signature calculations for the Authorization header: transferring
payload in multiple chunks" and "... including trailing headers".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from driftline.access.signature import ALGORITHM, DIGEST, UNSIGNED, Signature, SignatureError
from driftline.errors import InputError

Trailers = list[tuple[str, str]]

_TRAILER = "-TRAILER"
_CHUNKED = f"STREAMING-{ALGORITHM}-PAYLOAD"
SIGNED_CHUNKS = frozenset({_CHUNKED, _CHUNKED + _TRAILER})
"""What x-amz-content-sha256 says of a body in chunks, each of which is signed."""
_UNSIGNED_CHUNKS = f"STREAMING-{UNSIGNED}{_TRAILER}"
_EMPTY = sha256(b"").hexdigest()
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?\r\n")
# S3's own limit: smaller ones would cost more to check than to send. The last one may have less.
_CHUNK_MIN_BYTES = 8192
_TRAILERS_MAX_BYTES = 4096
# What clients send after a body: hashes of it, and nothing that asks for anything.
_CHECKSUM = re.compile(r"x-amz-checksum-[a-z0-9]{1,20}")


class ChunkError(InputError):
    """A body is not in chunks, or is not whole."""


@dataclass(frozen=True, slots=True)
class Chunked:
    """A body in chunks."""

    # Data and signature ("": none); the last one has no data.
    chunks: list[tuple[bytes, str]]
    trailers: Trailers
    trailer_signature: str  # "": none.


def require_declared(signature: Signature, *, is_private: bool) -> None:
    """Refuse a body that is not signed, where somebody on its way could alter it (no TLS)."""
    word = signature.payload
    if word in (UNSIGNED, _UNSIGNED_CHUNKS):
        # Whoever has a presigned URL may send with it what they like.
        if not is_private and signature.expires_s is None:
            raise SignatureError("payload", f"{word} is taken over https only; sign the body")
    elif word not in ("", *SIGNED_CHUNKS) and not DIGEST.fullmatch(word):
        raise SignatureError("payload", f'x-amz-content-sha256 is "{word[:60]}"; expected a hash')


def require_hash(signature: Signature, digest: str) -> None:
    """Refuse a body whose hash is not the one that is declared, where one is."""
    if DIGEST.fullmatch(signature.payload) and signature.payload != digest:
        raise SignatureError(
            "payload",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )


def unchunked(signature: Signature, secret: str, body: bytes) -> tuple[bytes, Trailers]:
    """Return a body out of its chunks, with the headers behind it; verify all of them."""
    chunked = read_chunks(body)
    _verify_chunks(signature, secret, chunked)
    return b"".join(data for data, _ in chunked.chunks), chunked.trailers


def _verify_chunks(signature: Signature, secret: str, chunked: Chunked) -> None:
    """Verify each chunk, whose signature is over that of the one before; and then the trailers."""
    previous = signature.signature
    for data, shown in chunked.chunks:
        lines = (previous, _EMPTY, sha256(data).hexdigest())
        signature.require(secret, shown, f"{ALGORITHM}-PAYLOAD", *lines)
        previous = shown
    if chunked.trailers or signature.payload.endswith(_TRAILER):
        text = "".join(f"{name}:{value}\n" for name, value in chunked.trailers)
        kind, digest = f"{ALGORITHM}{_TRAILER}", sha256(text.encode("latin-1")).hexdigest()
        signature.require(secret, chunked.trailer_signature, kind, previous, digest)


def read_chunks(body: bytes) -> Chunked:
    """Read a body in chunks; whoever asks for signatures has yet to verify them."""
    chunks: list[tuple[bytes, str]] = []
    end = 0
    while not chunks or chunks[-1][0]:
        head = _CHUNK.match(body, end)
        if head is None:
            raise ChunkError(f"body: no chunk at byte {end}; expected its size in hexadecimal")
        start, size = head.end(), int(head[1], 16)
        data, end = body[start : start + size], start + size
        if len(data) < size:
            raise ChunkError(f"body: ends within the chunk at byte {start}")
        if data and chunks and len(chunks[-1][0]) < _CHUNK_MIN_BYTES:
            raise ChunkError(f"body: a chunk of under {_CHUNK_MIN_BYTES} bytes is not the last")
        if data:
            if body[end : end + 2] != b"\r\n":
                raise ChunkError(f"body: the chunk at byte {start} is longer than it says")
            end += 2
        chunks.append((data, (head[2] or b"").decode()))
    if len(body) - end > _TRAILERS_MAX_BYTES:
        raise ChunkError(f"body: more than {_TRAILERS_MAX_BYTES} bytes after the last chunk")
    trailers: Trailers = []
    signature = ""
    for line in body[end:].decode("latin-1").split():
        name, _, value = line.partition(":")
        if name == "x-amz-trailer-signature":
            signature = value
        elif _CHECKSUM.fullmatch(name):
            trailers.append((name, value))
        else:
            raise ChunkError(f'body: trailing header "{name[:40]}"; expected x-amz-checksum-…')
    return Chunked(chunks, trailers, signature)
