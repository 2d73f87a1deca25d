"""Content encodings: packed bodies unpacked within a bound, so that a small bomb stays small."""

from __future__ import annotations

import zlib

import pyarrow as pa

from driftline.formats.body_limits import BodyError

MAX_INFLATED_BYTES = 16 << 20
# Rows that repeat pack well; more than this share is made to hurt. Small bodies may.
_MAX_RATIO = 100
_ALWAYS_ALLOWED = 1 << 20
# gzip allows many members in a row; each costs a copy of all that follow it.
_MAX_MEMBERS = 16
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
_ARROW_NAMES = {"zstd": "zstd", "br": "brotli"}
ENCODINGS = ("gzip", "x-gzip", "deflate", *_ARROW_NAMES)
_MAX_TOLD = 40


class InflatedError(BodyError):
    """A packed body unpacks to more than it may."""


def unpack(content: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding: gzip, deflate, zstd or br; identity and none give the bytes."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return content
    bound = _bound(len(content))
    if name in ("gzip", "x-gzip"):
        return _inflate(content, bound, _ZLIB_OR_GZIP)
    if name == "deflate":
        # RFC 9110 means zlib's form by it; many send the bare stream.
        is_zlib = (
            len(content) > 1 and content[0] & 15 == 8 and not (content[0] * 256 + content[1]) % 31
        )
        return _inflate(content, bound, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    if name in _ARROW_NAMES:
        return _stream(content, bound, _ARROW_NAMES[name])
    raise BodyError(f'content-encoding "{name[:_MAX_TOLD]}"; expected gzip, deflate, zstd or br')


def _inflate(content: bytes, bound: int, window_bits: int) -> bytes:
    found = b""
    for _ in range(_MAX_MEMBERS):
        machine = zlib.decompressobj(wbits=window_bits)
        try:
            found += machine.decompress(content, bound + 1 - len(found))
        except zlib.error as error:
            raise BodyError(f"cannot be unpacked ({error})") from error
        _require_within(len(found), bound)
        if not machine.eof:
            raise BodyError("cannot be unpacked (it is cut off)")
        content = machine.unused_data
        if not content.strip(b"\0"):
            return found
    raise BodyError(f"cannot be unpacked (more than {_MAX_MEMBERS} parts)")


def _stream(content: bytes, bound: int, name: str) -> bytes:
    try:
        with pa.CompressedInputStream(pa.BufferReader(content), name) as stream:
            found = stream.read(bound + 1)
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise BodyError(f"cannot be unpacked ({reason})") from error
    _require_within(len(found), bound)
    return bytes(found)


def require_bound(size: int, packed: int) -> None:
    """Refuse what is packed in so many bytes and unpacks to so many."""
    _require_within(size, _bound(packed))


def _bound(packed: int) -> int:
    return min(MAX_INFLATED_BYTES, max(_ALWAYS_ALLOWED, _MAX_RATIO * packed))


def _require_within(size: int, bound: int) -> None:
    if size > bound:
        raise InflatedError(f"unpacks to more than {bound} bytes")
