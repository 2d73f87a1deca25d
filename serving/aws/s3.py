"""The part of S3 that notebooks use, over buckets of the installation's own (docs/aws.md)."""

from __future__ import annotations

import asyncio
import html
import logging
import mimetypes
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from driftline.access.signature import SignatureError
from driftline.errors import (
    ConflictError,
    DriftlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
)
from driftline.loopback import Receive, Scope, Send
from driftline.serving.aws.errors import wire_error
from driftline.serving.aws.s3_body import BLOCK, BadBodyError, Received, Unchunked
from driftline.serving.aws.served import WireError
from driftline.serving.buckets import (
    BadPartsError,
    Buckets,
    NoBucketError,
    NoUploadError,
    commit,
    delete,
    forget,
    groups_of,
    info_of,
    part_of,
)
from driftline.serving.context import ServerContext
from driftline.serving.operations.authorization import AuditLog, authorize
from driftline.serving.operations.registry import Operation
from driftline.serving.resources.store import ChangedError

log = logging.getLogger(__name__)

# S3's limits: of one object, of a page or list of keys, of the text of a list.
_OBJECT_MAX, _PAGE_MAX, _TEXT_MAX = 5 << 30, 1000, 2 << 20
# Parameters that choose another operation than the one of method and path.
_CHOOSING = ("uploads", "uploadId", "delete", "list-type", "location")
_PLAIN = re.compile(
    r"(prefix|delimiter|max-keys|encoding-type|continuation-token|start-after|fetch-owner"
    r"|partNumber|x-id|X-Amz-[A-Za-z-]+)\Z"
)
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\Z")
# Of S3's own errors; the first that fits.
_CODES: tuple[tuple[Any, str, int], ...] = (
    (ForbiddenError, "AccessDenied", 403),
    (NoBucketError, "NoSuchBucket", 404),
    (NoUploadError, "NoSuchUpload", 404),
    (BadPartsError, "InvalidPart", 400),
    (ChangedError, "PreconditionFailed", 412),
    (ConflictError, "BucketAlreadyOwnedByYou", 409),
    (NotFoundError, "NoSuchKey", 404),
    (UnavailableError, "ServiceUnavailable", 503),
    (InputError, "InvalidArgument", 400),
    # A name that is a file and a folder; S3 knows no folders.
    ((NotADirectoryError, IsADirectoryError, FileExistsError), "InvalidArgument", 400),
    (Exception, "InternalError", 500),
)


class Asked(Request):
    """One request, with the bucket and the key that it names."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.bucket, self.key = "", ""
        self.query: Mapping[str, str] = {}

    def header(self, name: str) -> str:
        """Return a header; "" without it."""
        return self.headers.get(name, "")

    @property
    def target(self) -> str:
        """Bucket and key."""
        return f"{self.bucket}/{self.key}"


class S3:
    """Answers requests for buckets and objects; who asks is known already."""

    def __init__(self, context: ServerContext, audit: AuditLog) -> None:
        self._context, self._audit = context, audit
        self._buckets = Buckets(context)
        settings = context.settings
        hosts = ("localhost", urlsplit(settings.server.external_url).hostname, *settings.own_hosts)
        # The longest first: one may be below another.
        self._hosts = sorted({f".{one}" for one in hosts if one}, key=len, reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        asked, operation, path = Asked(scope, receive), None, "/s3"
        try:
            self._read(asked)
            path = f"/s3/{asked.target}".rstrip("/")
            operation = _operation_of(asked)
            authorize(operation, {})
            answer = await operation.function(self, asked)
        except (WireError, DriftlineError, BadBodyError, OSError) as error:
            answer = _refused(error, path)
        if operation is not None:
            await self._audit.note(operation, path, answer.status_code)
        answer.headers["x-amz-request-id"] = uuid.uuid4().hex
        # A browser runs no object as a page of this address, where its user is logged in.
        answer.headers["content-security-policy"] = "sandbox"
        answer.headers["x-content-type-options"] = "nosniff"
        if answer.status_code >= 400 and asked.method in ("PUT", "POST"):
            # Of a body that was not asked for (Expect: 100-continue) nobody knows if it comes.
            answer.headers["connection"] = "close"
        await answer(scope, receive, send)

    def _read(self, asked: Asked) -> None:
        """Read what stands in the address; the bucket may be the beginning of the host."""
        sent = asked.scope.get("raw_path") or quote(asked.scope["path"]).encode()
        try:
            path = unquote(sent.partition(b"?")[0].decode("ascii"), errors="strict")[1:]
            text = asked.scope.get("query_string", b"").decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=50)
        except ValueError:
            raise WireError("InvalidURI", "Could not parse the specified URI.", 400) from None
        host = asked.header("host").partition(":")[0].lower()
        own = next((one for one in self._hosts if f".{host}".endswith(one)), "")
        if own and f".{host}" != own:
            path = f"{host.removesuffix(own)}/{path}"
        asked.bucket, _, asked.key = path.partition("/")
        asked.query = dict(pairs)

    async def list_buckets(self, _asked: Asked) -> Response:
        """List the buckets."""
        items = "".join(
            f"<Bucket><Name>{name}</Name><CreationDate>{_time(at)}</CreationDate></Bucket>"
            for name, at in self._buckets.list()
        )
        return _xml("ListAllMyBucketsResult", f"<Owner/><Buckets>{items}</Buckets>")

    async def create_bucket(self, asked: Asked) -> Response:
        """Make a bucket."""
        self._buckets.create(asked.bucket)
        return Response(headers={"location": f"/{asked.bucket}"})

    async def look_at_bucket(self, asked: Asked) -> Response:
        """Whether there is a bucket, and where: here."""
        self._buckets.bucket(asked.bucket)
        return Response() if asked.method == "HEAD" else _xml("LocationConstraint", "")

    async def list_objects(self, asked: Asked) -> Response:
        """List keys, or what they begin with up to a delimiter, page by page."""
        query = asked.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        text = query.get("max-keys", str(_PAGE_MAX))
        if not text.isdecimal() or int(text[:9]) < 1:
            raise InputError(f'max-keys "{text[:20]}"; expected a whole number above 0')
        limit, token = min(int(text[:9]), _PAGE_MAX), query.get("continuation-token", "")
        after = token or query.get("start-after", "")
        keys = self._buckets.keys(asked.bucket, prefix, after)
        groups = groups_of(keys, prefix, delimiter, after)
        found = await asyncio.to_thread(lambda: list(islice(groups, limit + 1)))
        page, more = found[:limit], len(found) > limit

        def shown(key: str) -> str:
            return escape(quote(key, safe="/") if "encoding-type" in query else key)

        facts = {
            "Name": asked.bucket, "Prefix": shown(prefix), "Delimiter": shown(delimiter),
            "EncodingType": escape(query.get("encoding-type", "")),
            "StartAfter": shown(query.get("start-after", "")),
            "ContinuationToken": escape(token), "KeyCount": str(len(page)), "MaxKeys": str(limit),
            "IsTruncated": str(more).lower(),
            "NextContinuationToken": escape(page[-1][0]) if more else "",
        }  # fmt: skip
        items = [
            f"<CommonPrefixes><Prefix>{shown(key)}</Prefix></CommonPrefixes>"
            if info is None
            else f"<Contents><Key>{shown(key)}</Key><LastModified>{_time(info.mtime.timestamp())}"
            f"</LastModified><ETag>{escape(_etag(info))}</ETag><Size>{info.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key, info in page
        ]
        known = [f"<{name}>{one}</{name}>" for name, one in facts.items() if one]
        return _xml("ListBucketResult", "".join([*known, *items]))

    async def get_object(self, asked: Asked) -> Response:
        """Send an object, or a range of it; of HEAD its headers."""
        place = self._buckets.object(asked.bucket, asked.key)
        info = await asyncio.to_thread(info_of, place)
        if info is None:
            raise NotFoundError(f'The specified key does not exist: "{asked.key}"')
        etag, size = _etag(info), info.size
        headers = {
            "etag": etag, "accept-ranges": "bytes", "content-length": str(size),
            "content-type": mimetypes.guess_type(asked.key)[0] or "binary/octet-stream",
            "last-modified": format_datetime(info.mtime.astimezone(UTC), usegmt=True),
        }  # fmt: skip
        if (wanted := asked.header("if-match")) and wanted not in (etag, "*"):
            raise ChangedError("the object has another ETag")
        if asked.header("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        span = _span(asked.header("range"), size)
        first, last = span or (0, size - 1)
        if span is not None:
            headers["content-range"] = f"bytes {first}-{last}/{size}"
            headers["content-length"] = str(last - first + 1)
        status = 200 if span is None else 206
        if asked.method == "HEAD":
            return Response(status_code=status, headers=headers)
        source = await asyncio.to_thread(place.open_seekable)
        content = _blocks(source, first, last - first + 1)
        return StreamingResponse(content, status, headers)

    async def put_object(self, asked: Asked) -> Response:
        """Store an object: a reader sees the old one or the new one, never a part."""
        place = self._buckets.object(asked.bucket, asked.key, is_written=True)
        file = self._buckets.new_file()
        try:
            received = await self._receive(asked, file)
            if asked.key.endswith("/"):  # What consoles make for an empty folder.
                if received.count:
                    raise InputError("a key that ends with / has no content here")
                await asyncio.to_thread(place.system.create_dir, place.path, recursive=True)
                return Response(headers={"etag": received.etag})
            is_new = asked.header("if-none-match") == "*"
            info = await asyncio.to_thread(commit, file, place, is_new=is_new)
        finally:
            file.unlink(missing_ok=True)
        return Response(headers={"etag": _etag(info)})

    async def delete_object(self, asked: Asked) -> Response:
        """Delete an object, if there is one."""
        place = self._buckets.object(asked.bucket, asked.key, is_written=True)
        await asyncio.to_thread(delete, place)
        return Response(status_code=204)

    async def delete_objects(self, asked: Asked) -> Response:
        """Delete the objects of a list."""
        text = await self._text(asked)
        keys = [html.unescape(one) for one in re.findall(r"<Key>([^<]*)</Key>", text)]
        if not 0 < len(keys) <= _PAGE_MAX:
            raise InputError(f"{len(keys)} keys; expected 1 to {_PAGE_MAX}")
        places = [self._buckets.object(asked.bucket, key, is_written=True) for key in keys]
        await asyncio.to_thread(lambda: [*map(delete, places)])
        items = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return _xml("DeleteResult", "" if "<Quiet>true</Quiet>" in text else items)

    async def create_upload(self, asked: Asked) -> Response:
        """Begin an upload in parts."""
        self._buckets.object(asked.bucket, asked.key, is_written=True)
        name = await asyncio.to_thread(self._buckets.begin, asked.target)
        return _xml("InitiateMultipartUploadResult", _names(asked) + f"<UploadId>{name}</UploadId>")

    async def upload_part(self, asked: Asked) -> Response:
        """Store a part of an upload; one of the same number is replaced."""
        folder, number = self._upload(asked), asked.query.get("partNumber", "")
        part, file = (
            part_of(folder, int(number[:6]) if number.isdecimal() else 0),
            self._buckets.new_file(),
        )
        try:
            received = await self._receive(asked, file)
            file.replace(part)
        finally:
            file.unlink(missing_ok=True)
        return Response(headers={"etag": received.etag})

    async def complete_upload(self, asked: Asked) -> Response:
        """Put the parts of an upload together."""
        folder = self._upload(asked)
        place = self._buckets.object(asked.bucket, asked.key, is_written=True)
        found = re.findall(r"<PartNumber>\s*(\d{1,5})\s*</PartNumber>", await self._text(asked))
        info = await asyncio.to_thread(self._buckets.join, folder, [*map(int, found)], place)
        etag = f"<ETag>{escape(_etag(info))}</ETag>"
        return _xml("CompleteMultipartUploadResult", _names(asked) + etag)

    async def abort_upload(self, asked: Asked) -> Response:
        """Forget an upload in parts."""
        await asyncio.to_thread(forget, self._upload(asked))
        return Response(status_code=204)

    def _upload(self, asked: Asked) -> Path:
        return self._buckets.upload(asked.query["uploadId"], asked.target)

    async def _receive(self, asked: Asked, file: Path) -> Received:
        """Write a body into a file, block by block; refuse one that is not as its headers say."""
        for name in asked.headers:
            if name == "x-amz-copy-source" or name.startswith("x-amz-meta-"):
                raise WireError("NotImplemented", f"{name} is not served; leave it out.", 501)
        received, block = Received(asked.headers), bytearray()
        with file.open("wb") as target:
            async for part in self._body(asked, received.trailers):
                block += part
                if len(block) >= BLOCK:
                    await asyncio.to_thread(received.write, bytes(block), target)
                    block.clear()
                if received.count > _OBJECT_MAX:
                    raise WireError("EntityTooLarge", "At most 5 GiB; send it in parts.", 400)
            await asyncio.to_thread(received.write, bytes(block), target)
        received.check()
        return received

    async def _text(self, asked: Asked) -> str:
        found = bytearray()
        async for part in self._body(asked, {}):
            found += part
            if len(found) > _TEXT_MAX:
                raise InputError("the list is too long")
        return found.decode(errors="replace")

    async def _body(self, asked: Asked, trailers: dict[str, str]) -> AsyncIterator[bytes]:
        is_chunked = "aws-chunked" in asked.header("content-encoding")
        unchunked, more = Unchunked(trailers) if is_chunked else None, True
        while more:
            try:
                async with asyncio.timeout(self._context.body_timeout_s):
                    message = await asked.receive()
            except TimeoutError:
                raise WireError("RequestTimeout", "The body came too slowly.", 400) from None
            if message["type"] == "http.disconnect":
                raise BadBodyError("IncompleteBody", "The body ended early.")
            more, part = message.get("more_body", False), message.get("body", b"")
            yield part if unchunked is None else unchunked.feed(part)
        if unchunked is not None:
            unchunked.end()


_B, _K = "/s3/{bucket}", "/s3/{bucket}/{key}"
# By method, path and the parameter that chooses: who may, and what does it.
_ROUTES: dict[tuple[str, str, str], tuple[Any, Any]] = {
    ("GET", "/s3", ""): ("viewer", S3.list_buckets),
    ("PUT", _B, ""): ("admin", S3.create_bucket),
    ("HEAD", _B, ""): ("viewer", S3.look_at_bucket),
    ("GET", _B, "location"): ("viewer", S3.look_at_bucket),
    ("GET", _B, "list-type"): ("viewer", S3.list_objects),
    ("POST", _B, "delete"): ("admin", S3.delete_objects),
    ("GET", _K, ""): ("analyst", S3.get_object),
    ("HEAD", _K, ""): ("viewer", S3.get_object),
    ("PUT", _K, ""): ("admin", S3.put_object),
    ("DELETE", _K, ""): ("admin", S3.delete_object),
    ("POST", _K, "uploads"): ("admin", S3.create_upload),
    ("PUT", _K, "uploadId"): ("admin", S3.upload_part),
    ("POST", _K, "uploadId"): ("admin", S3.complete_upload),
    ("DELETE", _K, "uploadId"): ("admin", S3.abort_upload),
}


def _operation_of(asked: Asked) -> Operation:
    path = _K if asked.key else _B if asked.bucket else "/s3"
    choice = next((one for one in _CHOOSING if one in asked.query), "")
    others = [one for one in asked.query if one != choice and not _PLAIN.match(one)]
    found = _ROUTES.get((asked.method, path, choice))
    if found is not None and asked.method not in ("GET", "HEAD"):
        # Conditions that would be broken silently: a check and a write are not one step here.
        is_served = found[1] is S3.put_object and asked.header("if-none-match") == "*"
        names = ("if-match",) if is_served else ("if-match", "if-none-match")
        others += [name for name in names if asked.header(name)]
    if found is None or others:
        what = f"{asked.method} {path[3:] or '/'} {' '.join(others)[:80]}".strip()
        raise WireError("NotImplemented", f"This part of S3 is not served: {what}", 501)
    role, function = found
    return Operation(asked.method, path, function, role)


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte of a range; None where none is asked for."""
    if (found := _RANGE.match(text)) is None:
        return None
    start, end, tail = found.groups()
    first = int(start) if start else max(0, size - int(tail))
    last = min(size - 1, int(end)) if end else size - 1
    if first > last:
        raise WireError("InvalidRange", "The requested range is not satisfiable", 416)
    return first, last


async def _blocks(source: Any, first: int, left: int) -> AsyncIterator[bytes]:  # noqa: ANN401
    with source:
        await asyncio.to_thread(source.seek, first)
        while left:
            block = await asyncio.to_thread(source.read, min(BLOCK, left))
            if not block:
                raise OSError("an object became shorter while it was sent")
            left -= len(block)
            yield bytes(block)


def _etag(info: Any) -> str:  # noqa: ANN401 - pyarrow's FileInfo
    # With a hyphen, as of S3's uploads in parts: nobody takes it for an MD5 of the content.
    return f'"{info.mtime_ns:x}-{info.size:x}"'


def _refused(error: Exception, path: str) -> Response:
    if isinstance(error, SignatureError):  # Of a body, which is hashed as it is read.
        error = wire_error(error, "s3", "rest-xml")
    if isinstance(error, WireError | BadBodyError):
        code, status = error.code, getattr(error, "status", None) or 400
    else:
        code, status = next(
            (code, status) for kind, code, status in _CODES if isinstance(error, kind)
        )
    text = str(error)
    if isinstance(error, OSError):  # Which names folders of this machine.
        log.warning("s3=%s error=%s", path, error)
        text = "It cannot be stored or read; the server's log says why."
        if status < 500:
            text = 'A key cannot be here what another one has before a "/".'
    content = f"<Code>{code}</Code><Message>{escape(text)}</Message><Resource>{escape(path)}"
    return _xml("Error", f"{content}</Resource>", status=status)


def _names(asked: Asked) -> str:
    return f"<Bucket>{escape(asked.bucket)}</Bucket><Key>{escape(asked.key)}</Key>"


def _xml(root: str, content: str, status: int = 200) -> Response:
    space = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' if root != "Error" else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{space}>{content}</{root}>'
    return Response(text, status, media_type="application/xml")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
