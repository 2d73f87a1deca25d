"""The part of S3 that notebooks use, over buckets of the installation's own (docs/aws.md)."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, ParseError, fromstring, tostring

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from driftline.access.signature import CHAIN_KEY
from driftline.errors import DriftlineError, InputError, UnavailableError
from driftline.formats.location import Location, locate
from driftline.loopback import Receive, Scope, Send
from driftline.serving.aws.errors import wire_error
from driftline.serving.aws.s3_body import RequestBody
from driftline.serving.aws.s3_buckets import Buckets, commit, delete, etag_of, groups_of, info_of
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
    r"(prefix|delimiter|max-keys|encoding-type|continuation-token|start-after|fetch-owner"
    r"|x-id|X-Amz-[A-Za-z-]+)\Z"
)
# Of a write: conditions and contents that would be dropped silently.
_UNSERVED = re.compile(r"if-match:|if-none-match:(?!\*\Z)|x-amz-(copy-|meta-|write-offset-)")
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_REFUSALS = (WireError, DriftlineError, OSError)


class Asked(Request):
    """One request, with the bucket and the key that it names: in its path, or in its host."""

    place: Location  # Of the object.
    file: Path  # With the body of a PUT or POST.

    def __init__(self, scope: Scope, receive: Receive, hosts: re.Pattern[str]) -> None:
        super().__init__(scope, receive)
        path, host = scope["path"][1:], hosts.fullmatch(self.headers.get("host", ""))
        if host is not None and host[1]:
            path = f"{host[1].lower()}/{path}"
        self.bucket, _, self.key = path.partition("/")
        self.target = f"{self.bucket}/{self.key}".rstrip("/")


class S3:
    """Answers requests for buckets and objects; who asks is known already."""

    def __init__(self, context: ServerContext, audit: AuditLog) -> None:
        self._context, self._audit, self._buckets = context, audit, Buckets(context)
        settings = context.settings
        hosts = ("localhost", urlsplit(settings.server.external_url).hostname, *settings.own_hosts)
        own = "|".join(re.escape(one) for one in hosts if one)
        # A bucket before a name of this server; the whole first, as one name may end another.
        self._hosts = re.compile(rf"(?:(.+?)\.)??(?:{own})(?::\d+)?", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        asked, operation = Asked(scope, receive, self._hosts), None
        try:
            operation = _operation_of(asked)
            authorize(operation, {})
            answer = await self._answer(operation, asked)
        except _REFUSALS as error:
            about, status = _refusal(error, asked.target)
            answer = _xml("Error", about | {"Resource": quote(asked.target)}, status)
        if operation is not None:
            await self._audit.note(operation, f"/s3/{asked.target}", answer.status_code)
        # A browser runs no object as a page of this address, where its user is logged in.
        answer.headers.update({
            "x-amz-request-id": uuid.uuid4().hex, "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
        })  # fmt: skip
        if answer.status_code >= 400 and asked.method in ("PUT", "POST"):
            # Of a body that was not asked for (Expect: 100-continue) nobody knows if it comes.
            answer.headers["connection"] = "close"
        await answer(scope, receive, send)

    async def _answer(self, operation: Operation, asked: Asked) -> Response:
        """Do an operation, of whose body all is received and verified before."""
        buckets, function = self._buckets, operation.function
        if asked.key:
            is_written = operation.role == "admin"
            asked.place = await asyncio.to_thread(
                buckets.place, asked.bucket, asked.key, is_written=is_written
            )
        if asked.method not in ("PUT", "POST"):
            return await asyncio.to_thread(function, buckets, asked)
        with buckets.new_file() as asked.file:
            await self._receive(asked)
            return await asyncio.to_thread(function, buckets, asked)

    async def _receive(self, asked: Asked) -> None:
        """Write the body of a request into its file, as it comes."""
        limit = _OBJECT_MAX if asked.method == "PUT" else _TEXT_MAX
        now, patience_s = asyncio.get_running_loop().time, self._context.body_timeout_s
        with asked.file.open("wb") as target:
            body = RequestBody(asked.headers, target, limit, asked.scope.get(CHAIN_KEY))
            try:
                async with asyncio.timeout(patience_s) as waiting:
                    async for piece in asked.stream():
                        await asyncio.to_thread(body.feed, piece)
                        waiting.reschedule(now() + patience_s)
            except (TimeoutError, ClientDisconnect):
                text = "The body ended early, or came too slowly."
                raise WireError("RequestTimeout", text) from None
        body.end()


def _list_buckets(buckets: Buckets, _asked: Asked) -> Response:
    found = [
        {"Name": one.name, "CreationDate": _time(one.stat().st_mtime)} for one in buckets.list()
    ]
    return _xml("ListAllMyBucketsResult", {"Owner": {}, "Buckets": {"Bucket": found}})


def _create_bucket(buckets: Buckets, asked: Asked) -> Response:
    buckets.create(asked.bucket)
    return Response(headers={"location": f"/{asked.bucket}"})


def _look_at_bucket(buckets: Buckets, asked: Asked) -> Response:
    """Whether there is a bucket, and where: here."""
    buckets.require(asked.bucket)
    return Response() if asked.method == "HEAD" else _xml("LocationConstraint", {})


def _list_objects(buckets: Buckets, asked: Asked) -> Response:
    """List keys, or what they begin with up to a delimiter, page by page."""
    query = asked.query_params
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    start, token = query.get("start-after", ""), query.get("continuation-token", "")
    limit, after = min(_number(query.get("max-keys", "1000")), _PAGE_MAX), unquote(token) or start
    groups = groups_of(buckets.keys(asked.bucket, prefix, after), prefix, delimiter, after)
    page = list(islice(groups, limit))
    is_truncated = next(groups, None) is not None

    def shown(key: str) -> str:
        return quote(key) if "encoding-type" in query else key

    return _xml("ListBucketResult", {
        "Name": asked.bucket, "Prefix": shown(prefix), "Delimiter": shown(delimiter) or [],
        "EncodingType": query.get("encoding-type", []), "StartAfter": shown(start) or [],
        "ContinuationToken": token or [], "KeyCount": len(page), "MaxKeys": limit,
        "IsTruncated": str(is_truncated).lower(),
        "NextContinuationToken": quote(page[-1][0]) if is_truncated else [],
        "Contents": [
            {"Key": shown(key), "LastModified": _time(info.mtime.timestamp()),
             "ETag": etag_of(info), "Size": info.size, "StorageClass": "STANDARD"}
            for key, info in page if info is not None
        ],
        "CommonPrefixes": [{"Prefix": shown(key)} for key, info in page if info is None],
    })  # fmt: skip


def _get_object(_buckets: Buckets, asked: Asked) -> Response:
    """Send an object, or a range of it; of HEAD its headers."""
    info = info_of(asked.place)
    if asked.headers.get("if-match", "*") not in ("*", etag_of(info)):
        raise WireError("PreconditionFailed", "The object has another ETag.", 412)
    first, end, head = _span(asked.headers.get("range", ""), info.size)
    headers = {
        **head, "etag": etag_of(info), "content-length": str(end - first),
        "content-type": mimetypes.guess_type(asked.key)[0] or "binary/octet-stream",
        "last-modified": formatdate(info.mtime.timestamp(), usegmt=True),
    }  # fmt: skip
    status = 206 if head else 200
    if asked.method == "HEAD":
        return Response(None, status, headers)
    return StreamingResponse(_blocks(asked.place.open_seekable(), first, end), status, headers)


def _put_object(_buckets: Buckets, asked: Asked) -> Response:
    """Store an object: a reader sees the old one or the new one, never a part."""
    return Response(
        headers={"etag": commit(asked.file, asked.place, is_new="if-none-match" in asked.headers)}
    )


def _delete_object(_buckets: Buckets, asked: Asked) -> Response:
    delete(asked.place, asked.key)
    return Response(status_code=204)


def _delete_objects(buckets: Buckets, asked: Asked) -> Response:
    """Delete the objects of a list; say why of each that cannot be."""
    buckets.require(asked.bucket)
    answer: dict[str, list[dict[str, str]]] = {"Deleted": [], "Error": []}
    for one in _document(asked).findall("{*}Object"):
        key, about = one.findtext("{*}Key", ""), dict[str, str]()
        try:
            if len(one) > 1:  # A version, or a condition.
                raise WireError("NotImplemented", "Name an object by its key alone.", 501)
            delete(buckets.place(asked.bucket, key, is_written=True), key)
        except _REFUSALS as error:
            about, _ = _refusal(error, f"{asked.bucket}/{key}")
        answer["Error" if about else "Deleted"].append({"Key": key, **about})
    return _xml("DeleteResult", answer)


def _create_upload(buckets: Buckets, asked: Asked) -> Response:
    about = {"Bucket": asked.bucket, "Key": asked.key, "UploadId": buckets.begin(asked.target)}
    return _xml("InitiateMultipartUploadResult", about)


def _upload_part(buckets: Buckets, asked: Asked) -> Response:
    """Store a part of an upload; one of the same number is replaced."""
    part = _upload(buckets, asked) / str(_number(asked.query_params["partNumber"]))
    return Response(headers={"etag": commit(asked.file, locate(part), is_new=False)})


def _complete_upload(buckets: Buckets, asked: Asked) -> Response:
    folder, parts = (
        _upload(buckets, asked),
        [
            (_number(one.findtext("{*}PartNumber", "")), one.findtext("{*}ETag", ""))
            for one in _document(asked).findall("{*}Part")
        ],
    )
    etag = buckets.join(folder, parts, asked.place, is_new="if-none-match" in asked.headers)
    about = {"Bucket": asked.bucket, "Key": asked.key, "ETag": etag}
    return _xml("CompleteMultipartUploadResult", about)


def _abort_upload(buckets: Buckets, asked: Asked) -> Response:
    shutil.rmtree(_upload(buckets, asked), ignore_errors=True)
    return Response(status_code=204)


def _document(asked: Asked) -> Element:
    with suppress(ParseError, ValueError):
        text = asked.file.read_text(encoding="utf-8")
        if "<!" not in text:  # What declares nothing has no entities.
            return fromstring(text)  # noqa: S314
    raise WireError("MalformedXML", "The XML you provided was not well-formed.")


def _upload(buckets: Buckets, asked: Asked) -> Path:
    return buckets.upload(asked.query_params["uploadId"], asked.target)


_B, _K = "/s3/{bucket}", "/s3/{bucket}/{key}"
# By method, path and the parameters that choose: what does it, and who may.
_ROUTES: dict[tuple[str, str, str], tuple[Callable[[Buckets, Asked], Response], Any]] = {
    ("GET", "/s3", ""): (_list_buckets, "viewer"),
    ("PUT", _B, ""): (_create_bucket, "admin"),
    ("HEAD", _B, ""): (_look_at_bucket, "viewer"),
    ("GET", _B, "location"): (_look_at_bucket, "viewer"),
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


def _operation_of(asked: Asked) -> Operation:
    path = _K if asked.key else _B if asked.bucket else "/s3"
    choice = " ".join(sorted(name for name in asked.query_params if not _PLAIN.match(name)))
    found = _ROUTES.get((asked.method, path, choice))
    headers = () if asked.method in ("GET", "HEAD") else asked.headers.items()
    unserved = [name for name, value in headers if _UNSERVED.match(f"{name}:{value}")]
    if found is None or unserved:
        what = " ".join([asked.method, path[3:] or "/", choice, *unserved])
        raise WireError("NotImplemented", f"This part of S3 is not served: {what[:160]}", 501)
    return Operation(asked.method, path, *found)


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise InputError(f'"{text[:20]}"; expected a whole number above 0')
    return int(text)


def _span(text: str, size: int) -> tuple[int, int, dict[str, str]]:
    """Return where what is asked for begins and ends, and the header of a part of an object."""
    if (found := _RANGE.fullmatch(text)) is None:
        return 0, size, {}
    start, last, tail = found.groups()
    first = int(start) if start else max(0, size - int(tail))
    end = min(size, int(last) + 1) if last else size
    if first >= end:
        raise WireError("InvalidRange", "The requested range is not satisfiable", 416)
    return first, end, {"content-range": f"bytes {first}-{end - 1}/{size}"}


def _blocks(source: Any, first: int, end: int) -> Iterator[bytes]:  # noqa: ANN401 - pyarrow's
    with source:
        source.seek(first)
        while first < end:
            block = source.read(min(_BLOCK, end - first))
            if not block:
                raise OSError("an object became shorter while it was sent")
            first += len(block)
            yield bytes(block)


def _refusal(error: Exception, target: str) -> tuple[dict[str, str], int]:
    """Return what is said of an error, and its status; the storage's own names files."""
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        error = InputError('A key cannot be here what another one has before a "/".')
    elif isinstance(error, OSError | UnavailableError):
        log.warning("s3=%s error=%s", target, error)
        error = UnavailableError("It cannot be stored or read; the server's log says why.")
    found = wire_error(error, "s3", "rest-xml")
    return {"Code": found.code, "Message": found.message}, found.status or 400


def _xml(name: str, content: Mapping[str, Any], status: int = 200) -> Response:
    root = _element(name, content)
    if name != "Error":
        root.set("xmlns", _SPACE)
    text = tostring(root, encoding="utf-8", xml_declaration=True)
    return Response(text, status, media_type="application/xml")


def _element(name: str, content: Any) -> Element:  # noqa: ANN401 - a text, or more by name
    found = Element(name)
    if not isinstance(content, Mapping):
        found.text = str(content)
        return found
    for key, value in content.items():
        found.extend(_element(key, one) for one in (value if isinstance(value, list) else [value]))
    return found


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
