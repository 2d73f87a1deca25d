"""The part of S3 that notebooks use, over buckets of the installation's own (docs/aws.md)."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, ParseError, fromstring, tostring

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from driftline.access.signature import CHAIN_KEY
from driftline.errors import DriftlineError, InputError, NotFoundError, UnavailableError
from driftline.formats.location import Location
from driftline.loopback import Receive, Scope, Send
from driftline.serving.aws.errors import wire_error
from driftline.serving.aws.s3_body import CHECKSUM, receive_body
from driftline.serving.aws.s3_buckets import (
    Buckets,
    Upload,
    commit,
    delete,
    etag_of,
    groups_of,
    info_of,
    open_object,
)
from driftline.serving.aws.served import WireError
from driftline.serving.context import ServerContext
from driftline.serving.operations.authorization import AuditLog, authorize
from driftline.serving.operations.registry import Operation

log = logging.getLogger(__name__)

# S3's limits: of one object, of the text of a list, of a page or list of keys.
_OBJECT_MAX, _TEXT_MAX, _PAGE_MAX = 5 << 30, 2 << 20, 1000
_BLOCK = 1 << 20
# Parameters that choose no other operation than the one of method and path.
_PLAIN = re.compile(
    r"(prefix|delimiter|max-keys|encoding-type|continuation-token|start-after|fetch-owner|marker"
    r"|x-id|X-Amz-[A-Za-z-]+)\Z"
)
# Of a write: conditions and contents that would be dropped silently.
_UNSERVED = re.compile(r"if-match:|if-none-match:(?!\*\Z)|x-amz-(copy-|meta-|write-offset-)")
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_REFUSALS = (WireError, DriftlineError, OSError)


class S3Request(Request):
    """One request, with the bucket and the key that it names: in its path, or in its host."""

    buckets: Buckets
    place: Location  # Of the object.
    upload: Upload
    file: Path  # With the body of a PUT or POST.

    def __init__(self, scope: Scope, receive: Receive, hosts: re.Pattern[str]) -> None:
        super().__init__(scope, receive)
        path, host = scope["path"][1:], hosts.fullmatch(self.headers.get("host", ""))
        if host is not None and host[1]:
            path = f"{host[1].lower()}/{path}"
        self.bucket, _, self.key = path.partition("/")
        self.target = f"{self.bucket}/{self.key}".rstrip("/")
        self.is_new = "if-none-match" in self.headers  # The one condition of writes served.


class S3:
    """Answers requests for buckets and objects; who asks is known already."""

    def __init__(self, context: ServerContext, audit: AuditLog) -> None:
        self._context, self._audit, self._buckets = context, audit, Buckets(context)
        settings = context.settings
        hosts = ("localhost", urlsplit(settings.server.external_url).hostname, *settings.own_hosts)
        names = "|".join(re.escape(host) for host in hosts if host)
        # A bucket before a name of this server; the whole first, as one name may end another.
        self._hosts = re.compile(rf"(?:(.+?)\.)??(?:{names})(?::\d+)?", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request, operation = S3Request(scope, receive, self._hosts), None
        try:
            operation = _operation_of(request)
            authorize(operation, {})
            answer = await self._answer(operation, request)
        except _REFUSALS as error:
            refusal, status = _refusal(error, request.target)
            answer = _xml("Error", refusal | {"Resource": quote(request.target)}, status)
        if operation is not None:
            await self._audit.note(operation, f"/s3/{request.target}", answer.status_code)
        # A browser runs no object as a page of this address, where its user is logged in.
        answer.headers.update({
            "x-amz-request-id": uuid.uuid4().hex, "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
        })  # fmt: skip
        if answer.status_code >= 400 and request.method in ("PUT", "POST"):
            # Of a body that was not asked for (Expect: 100-continue) nobody knows if it comes.
            answer.headers["connection"] = "close"
        await answer(scope, receive, send)

    async def _answer(self, operation: Operation, request: S3Request) -> Response:
        """Do an operation, of whose body all is received and verified before."""
        buckets = request.buckets = self._buckets
        if request.key:
            is_written = operation.role == "admin"
            request.place = await asyncio.to_thread(
                buckets.place, request.bucket, request.key, is_written=is_written
            )
        if "uploadId" in request.query_params:
            name = request.query_params["uploadId"]
            request.upload = await asyncio.to_thread(
                buckets.upload, name, request.bucket, request.key
            )
        if request.method not in ("PUT", "POST"):
            return await asyncio.to_thread(operation.function, request)
        with buckets.new_file() as request.file:
            await self._receive(request)
            return await asyncio.to_thread(operation.function, request)

    async def _receive(self, request: S3Request) -> None:
        """Write the body of a request into its file, as it comes."""
        limit = _OBJECT_MAX if request.method == "PUT" else _TEXT_MAX
        now, patience_s = asyncio.get_running_loop().time, self._context.body_timeout_s
        with request.file.open("wb") as target:
            body = receive_body(request.headers, target, limit, request.scope.get(CHAIN_KEY))
            next(body)
            try:
                async with asyncio.timeout(patience_s) as waiting:
                    async for piece in request.stream():
                        if piece:
                            await asyncio.to_thread(body.send, piece)
                        waiting.reschedule(now() + patience_s)
            except (TimeoutError, ClientDisconnect):
                message = "The body ended early, or came too slowly."
                raise WireError("RequestTimeout", message) from None
            body.send(b"")


def _list_buckets(request: S3Request) -> Response:
    listed = [
        {"Name": folder.name, "CreationDate": _time(folder.stat().st_mtime)}
        for folder in request.buckets.list()
    ]
    return _xml("ListAllMyBucketsResult", {"Owner": {}, "Buckets": {"Bucket": listed}})


def _create_bucket(request: S3Request) -> Response:
    request.buckets.create(request.bucket)
    return Response(headers={"location": f"/{request.bucket}"})


def _delete_bucket(request: S3Request) -> Response:
    """Remove a bucket."""
    request.buckets.remove(request.bucket)
    return Response(status_code=204)


def _look_at_bucket(request: S3Request) -> Response:
    """Whether there is a bucket, and where: here."""
    request.buckets.require(request.bucket)
    return Response() if request.method == "HEAD" else _xml("LocationConstraint", {})


def _list_objects(request: S3Request) -> Response:
    """List keys, or what they begin with up to a delimiter, page by page, in either version."""
    query, is_first = request.query_params, "list-type" not in request.query_params
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    start = query.get("marker" if is_first else "start-after", "")
    token = query.get("continuation-token", "")
    limit = min(_number(query.get("max-keys", "1000"), least=0), _PAGE_MAX)
    after = unquote(token) or start
    groups = groups_of(
        request.buckets.keys(request.bucket, prefix, after), prefix, delimiter, after
    )
    page = list(islice(groups, limit))
    is_truncated = bool(page) and next(groups, None) is not None

    def shown(key: str) -> str:
        return quote(key) if "encoding-type" in query else key

    return _xml("ListBucketResult", {
        "Name": request.bucket, "Prefix": shown(prefix), "Delimiter": shown(delimiter) or [],
        "EncodingType": query.get("encoding-type", []), "MaxKeys": limit,
        "IsTruncated": str(is_truncated).lower(),
        **({"Marker": shown(start), "NextMarker": shown(page[-1][0]) if is_truncated else []}
           if is_first else {
            "StartAfter": shown(start) or [], "ContinuationToken": token or [],
            "KeyCount": len(page),
            "NextContinuationToken": quote(page[-1][0]) if is_truncated else [],
        }),
        "Contents": [
            {"Key": shown(key), "LastModified": _time(info.mtime.timestamp()),
             "ETag": etag_of(info), "Size": info.size, "StorageClass": "STANDARD"}
            for key, info in page if info is not None
        ],
        "CommonPrefixes": [{"Prefix": shown(key)} for key, info in page if info is None],
    })  # fmt: skip


def _get_object(request: S3Request) -> Response:
    """Send an object, or a range of it; of HEAD its headers."""
    source, info = open_object(request.place)
    with ExitStack() as opened:
        opened.enter_context(source)
        if request.headers.get("if-match", "*") not in ("*", etag_of(info)):
            raise WireError("PreconditionFailed", "The object has another ETag.", 412)
        first, end, head = _span(request.headers.get("range", ""), info.size)
        headers = {
            **head, "etag": etag_of(info), "content-length": str(end - first),
            "content-type": mimetypes.guess_type(request.key)[0] or "binary/octet-stream",
            "last-modified": formatdate(info.mtime.timestamp(), usegmt=True),
        }  # fmt: skip
        status = 206 if head else 200
        if request.method == "HEAD":
            return Response(None, status, headers)
        opened.pop_all()
    return StreamingResponse(_blocks(source, first, end), status, headers)


def _put_object(request: S3Request) -> Response:
    """Store an object: a reader sees the old one or the new one, never a part."""
    etag = commit(request.file, request.place, is_new=request.is_new)
    return Response(headers={"etag": etag})


def _delete_object(request: S3Request) -> Response:
    delete(request.place, request.key)
    return Response(status_code=204)


def _delete_objects(request: S3Request) -> Response:
    """Delete the objects of a list; say why of each that cannot be."""
    request.buckets.require(request.bucket)
    answer: dict[str, list[dict[str, str]]] = {"Deleted": [], "Error": []}
    for element in _document(request).findall("{*}Object"):
        key, refusal = element.findtext("{*}Key", ""), dict[str, str]()
        try:
            if len(element) > 1:  # A version, or a condition.
                raise WireError("NotImplemented", "Name an object by its key alone.", 501)
            delete(request.buckets.place(request.bucket, key, is_written=True), key)
        except _REFUSALS as error:
            refusal, _ = _refusal(error, f"{request.bucket}/{key}")
        answer["Error" if refusal else "Deleted"].append({"Key": key, **refusal})
    return _xml("DeleteResult", answer)


def _create_upload(request: S3Request) -> Response:
    name = request.buckets.begin(request.bucket, request.key)
    upload = {"Bucket": request.bucket, "Key": request.key, "UploadId": name}
    return _xml("InitiateMultipartUploadResult", upload)


def _upload_part(request: S3Request) -> Response:
    request.upload.require_open()
    part = request.upload.part(_number(request.query_params["partNumber"]))
    return Response(headers={"etag": commit(request.file, part, is_new=False)})


def _complete_upload(request: S3Request) -> Response:
    """Put the parts of an upload together, by number and ETag."""
    if any(CHECKSUM.match(name) for name in request.headers):
        message = "A checksum of the whole is not served of an upload in parts, only of each part."
        raise WireError("NotImplemented", message, 501)
    parts = [
        (_number(part.findtext("{*}PartNumber", "")), part.findtext("{*}ETag", "").strip('"'))
        for part in _document(request).findall("{*}Part")
    ]
    if not parts or [number for number, _ in parts] != sorted(dict(parts)):
        raise WireError("InvalidPartOrder", "Name one part or more, in ascending order.")
    etag = request.upload.etag
    if not etag:
        with request.file.open("wb") as target:
            for number, expected in parts:
                _append_part(target, request.upload.part(number), expected)
        etag = commit(request.file, request.place, is_new=request.is_new)
        request.upload.complete(etag)
    answer = {"Bucket": request.bucket, "Key": request.key, "ETag": etag}
    return _xml("CompleteMultipartUploadResult", answer)


def _append_part(target: BinaryIO, part: Location, expected: str) -> None:
    with suppress(WireError, NotFoundError):
        if etag_of(info_of(part)).strip('"') == expected:
            with part.open_seekable() as source:
                shutil.copyfileobj(source, target, _BLOCK)
            return
    number = part.path.rpartition("/")[2]
    raise WireError("InvalidPart", f"Part {number} is not there, or has another ETag.")


def _abort_upload(request: S3Request) -> Response:
    request.upload.require_open()
    request.upload.abort()
    return Response(status_code=204)


def _document(request: S3Request) -> Element:
    with suppress(ParseError, ValueError):
        text = request.file.read_text(encoding="utf-8")
        if "<!" not in text:  # What declares nothing has no entities.
            return fromstring(text)  # noqa: S314
    raise WireError("MalformedXML", "The XML you provided was not well-formed.")


_B, _K = "/s3/{bucket}", "/s3/{bucket}/{key}"
# By method, path and the parameters that choose: what does it, and who may.
_ROUTES: dict[tuple[str, str, str], tuple[Callable[[S3Request], Response], Any]] = {
    ("GET", "/s3", ""): (_list_buckets, "viewer"),
    ("PUT", _B, ""): (_create_bucket, "admin"),
    ("DELETE", _B, ""): (_delete_bucket, "admin"),
    ("HEAD", _B, ""): (_look_at_bucket, "viewer"),
    ("GET", _B, "location"): (_look_at_bucket, "viewer"),
    ("GET", _B, ""): (_list_objects, "viewer"),
    ("GET", _B, "list-type"): (_list_objects, "viewer"),
    ("POST", _B, "delete"): (_delete_objects, "admin"),
    ("GET", _K, ""): (_get_object, "analyst"),
    ("HEAD", _K, ""): (_get_object, "viewer"),
    ("PUT", _K, ""): (_put_object, "admin"),
    ("DELETE", _K, ""): (_delete_object, "admin"),
    ("POST", _K, "uploads"): (_create_upload, "admin"),
    ("PUT", _K, "partNumber uploadId"): (_upload_part, "admin"),
    ("POST", _K, "uploadId"): (_complete_upload, "admin"),
    ("DELETE", _K, "uploadId"): (_abort_upload, "admin"),
}


def _operation_of(request: S3Request) -> Operation:
    path = _K if request.key else _B if request.bucket else "/s3"
    choice = " ".join(sorted(name for name in request.query_params if not _PLAIN.match(name)))
    route = _ROUTES.get((request.method, path, choice))
    headers = () if request.method in ("GET", "HEAD") else request.headers.items()
    unserved = [name for name, value in headers if _UNSERVED.match(f"{name}:{value}")]
    if route is None or unserved:
        what = " ".join([request.method, path[3:] or "/", choice, *unserved])
        raise WireError("NotImplemented", f"This part of S3 is not served: {what[:160]}", 501)
    return Operation(request.method, path, *route)


def _number(text: str, least: int = 1) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,8}", text) or int(text) < least:
        raise InputError(f'"{text[:20]}"; expected a whole number from {least} on')
    return int(text)


def _span(text: str, size: int) -> tuple[int, int, dict[str, str]]:
    """Return where what is asked for begins and ends, and the header of a part of an object."""
    if (asked := _RANGE.fullmatch(text)) is None:
        return 0, size, {}
    start, last, tail = asked.groups()
    first = int(start) if start else max(0, size - int(tail))
    end = min(size, int(last) + 1) if last else size
    if first >= end:
        raise WireError("InvalidRange", "The requested range is not satisfiable", 416)
    return first, end, {"content-range": f"bytes {first}-{end - 1}/{size}"}


def _blocks(source: Any, first: int, end: int) -> Iterator[bytes]:  # noqa: ANN401 - pyarrow's
    with source:
        source.seek(first)
        while first < end and (block := source.read(min(_BLOCK, end - first))):
            first += len(block)
            yield bytes(block)


def _refusal(error: Exception, target: str) -> tuple[dict[str, str], int]:
    """Return what is said of an error, and its status; the storage's own names files."""
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        error = InputError('A key cannot be here what another one has before a "/".')
    elif isinstance(error, OSError | UnavailableError):
        log.warning("s3=%s error=%s", target, error)
        error = UnavailableError("It cannot be stored or read; the server's log says why.")
    answer = wire_error(error, "s3", "rest-xml")
    return {"Code": answer.code, "Message": answer.message}, answer.status or 400


def _xml(name: str, content: Mapping[str, Any], status: int = 200) -> Response:
    root = _element(name, content)
    root.attrib |= {} if name == "Error" else {"xmlns": _SPACE}
    text = tostring(root, encoding="utf-8", xml_declaration=True)
    return Response(text, status, media_type="application/xml")


def _element(name: str, content: Any) -> Element:  # noqa: ANN401 - a text, or more by name
    element = Element(name)
    if not isinstance(content, Mapping):
        element.text = str(content)
        return element
    for key, value in content.items():
        values = value if isinstance(value, list) else [value]
        element.extend(_element(key, each) for each in values)
    return element


def _time(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
