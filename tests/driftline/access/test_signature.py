"""Signatures of AWS: its published examples, botocore's own signer, and what was altered since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from driftline.access.signature import (
    Signature,
    SignatureError,
    is_signed,
    read_signature,
    signing_key,
)
from driftline.loopback import Scope
from driftline.serving.aws.s3_body import receive_body
from driftline.serving.aws.served import WireError

# Of the examples that Amazon S3's API Reference signs ("Signature calculations for the
# Authorization header", "... trailing headers", "Using query parameters").
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CREDENTIAL = f"{KEY_ID}/20130524/us-east-1/s3/aws4_request"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
BUCKET = {"host": "examplebucket.s3.amazonaws.com", "x-amz-date": "20130524T000000Z"}
EMPTY = sha256(b"").hexdigest()
CHUNKED = {
    "host": "s3.amazonaws.com", "x-amz-date": "20130524T000000Z",
    "x-amz-storage-class": "REDUCED_REDUNDANCY", "content-encoding": "aws-chunked",
    "x-amz-decoded-content-length": "66560",
}  # fmt: skip


def scope_of(method: str, url: str, headers: dict[str, str]) -> Scope:
    """Return the request as the listener makes it."""
    parts = urlsplit(url)
    return {
        "type": "http", "method": method, "path": parts.path, "raw_path": parts.path.encode(),
        "query_string": parts.query.encode("latin-1"),
        "headers": [(name.lower().encode(), one.encode()) for name, one in headers.items()],
    }  # fmt: skip


def example(method: str, url: str, headers: dict[str, str], signature: str = "") -> Signature:
    """Return the signature of an example, verified."""
    if signature:
        names = ";".join(sorted(headers))
        shown = f"Credential={CREDENTIAL},SignedHeaders={names},Signature={signature}"
        headers = {**headers, "authorization": f"AWS4-HMAC-SHA256 {shown}"}
    found = read_signature(scope_of(method, url, headers))
    found.require_time(NOW)
    found.verify(SECRET, found.payload)
    return found


def chunk(size: int, signature: str) -> bytes:
    data = b"a" * size + b"\r\n" if size else b""
    return b"%x;chunk-signature=%s\r\n%s" % (size, signature.encode(), data)


def content_of(headers: dict[str, str], found: Signature | None, body: bytes) -> bytes:
    """Return what a body holds that comes in pieces, verified by the signature of its request."""
    target = BytesIO()
    reader = receive_body(headers, target, 1 << 20, found and found.chain(SECRET))
    next(reader)
    for start in range(0, len(body), 999):
        reader.send(body[start : start + 999])
    reader.send(b"")
    return target.getvalue()


@pytest.mark.parametrize(
    ("path", "more", "signature"),
    [
        ("/test.txt", {"range": "bytes=0-9"},
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("/?lifecycle", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?max-keys=2&prefix=J", {},
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_the_published_examples_verify(path: str, more: dict[str, str], signature: str) -> None:
    example("GET", path, {**BUCKET, **more, "x-amz-content-sha256": EMPTY}, signature)


def test_the_published_presigned_url_verifies_until_its_end() -> None:
    found = example(
        "GET", "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
        f"{CREDENTIAL.replace('/', '%2F')}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        {"host": BUCKET["host"]},
    )  # fmt: skip

    found.require_payload(is_private=False)
    found.require_time(NOW + timedelta(seconds=86_399))
    with pytest.raises(SignatureError, match="has expired") as told:
        found.require_time(NOW + timedelta(seconds=86_400))
    assert told.value.reason == "expired"


def test_the_published_chunks_verify_and_no_other() -> None:
    headers = {
        **CHUNKED, "content-length": "66824",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    }  # fmt: skip
    found = example(
        "PUT", "/examplebucket/chunkObject.txt", headers,
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )  # fmt: skip
    body = (
        chunk(65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648")
        + chunk(1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497")
        + chunk(0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9") + b"\r\n"
    )  # fmt: skip

    assert content_of(headers, found, body) == b"a" * 66560
    swapped = body.replace(b"a" * 1024 + b"\r\n0;", b"a" * 1023 + b"b\r\n0;")
    added = body.removesuffix(b"\r\n") + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    for altered in (swapped, added):
        with pytest.raises(SignatureError):
            content_of(headers, found, altered)
    with pytest.raises(WireError, match="ended before"):
        content_of(headers, found, body[:-90])


def test_the_published_trailer_verifies_and_no_other() -> None:
    headers = {
        **CHUNKED, "x-amz-trailer": "x-amz-checksum-crc32c",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    }  # fmt: skip
    found = example(
        "PUT", "/examplebucket/chunkObject.txt", headers,
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    )  # fmt: skip
    signature = b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    body = (
        chunk(65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2")
        + chunk(1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7")
        + chunk(0, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992")
        + b"x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:" + signature + b"\r\n\r\n"
    )  # fmt: skip

    assert content_of(headers, found, body) == b"a" * 66560
    for altered in (body.replace(b"sOO8", b"sOO9"), body.replace(signature, b"")):
        with pytest.raises(SignatureError):
            content_of(headers, found, altered)


def test_the_published_signing_key_is_derived() -> None:
    # AWS General Reference, "Examples of how to derive a signing key for Signature Version 4".
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam")

    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


# As SDKs write addresses: encoded. Dots and doubled slashes botocore takes out before it signs,
# and sends all the same; driftline signs what was sent.
SEGMENTS = st.lists(
    st.sampled_from(["endpoints", "a%20b%2Fc", "%E2%82%AC", "x~y-z_.", "a%3Ab", "+"]), max_size=3
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
PAIRS = st.dictionaries(VALUES.filter(lambda text: text not in ("", "X-Amz-Expires")), VALUES)
NAMES = st.sampled_from(
    ["Content-Type", "X-Amz-Target", "X-Amzn-SageMaker-Target-Model", "Accept", "X-Amz-Meta-A"]
)


def signed(
    service: str, *, path: str, pairs: dict[str, str], headers: dict[str, str], body: bytes,
    is_presigned: bool = False, time: datetime = NOW,
) -> Scope:  # fmt: skip
    """Return a request as botocore signs it."""
    url = f"http://localhost:8080{path}"
    request = AWSRequest("GET" if is_presigned else "POST", url, headers, params=pairs)
    request.data = b"" if is_presigned else body
    signer = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    if is_presigned:
        signer = auth.S3SigV4QueryAuth if service == "s3" else auth.SigV4QueryAuth
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: time)
        signer(Credentials(KEY_ID, SECRET), service, "eu-west-1").add_auth(request)
    sent = request.prepare()
    found = {
        name: one.decode() if isinstance(one, bytes) else one for name, one in sent.headers.items()
    }
    return scope_of(sent.method, sent.url, {"host": "localhost:8080", **found})


@given(
    service=st.sampled_from(["sagemaker", "monitoring", "s3"]),
    path=SEGMENTS.map(lambda parts: "/" + "/".join(parts)), pairs=PAIRS,
    headers=st.dictionaries(NAMES, VALUES.map(str.strip)), body=st.binary(max_size=40),
    is_presigned=st.booleans(),
)  # fmt: skip
def test_what_botocore_signs_verifies_and_nothing_else(
    service: str, path: str, pairs: dict[str, str], headers: dict[str, str], body: bytes,
    is_presigned: bool,
) -> None:  # fmt: skip
    scope = signed(
        service, path=path, pairs=pairs, headers=headers, body=body, is_presigned=is_presigned
    )
    digest = sha256(b"" if is_presigned else body).hexdigest()

    def verify(asked: Scope, secret: str = SECRET, payload: str = digest) -> None:
        assert is_signed(asked)
        found = read_signature(asked)
        found.require_time(NOW)
        found.verify(secret, found.payload or payload)

    verify(scope)
    altered: list[Any] = [
        {**scope, "method": "PUT"},
        {**scope, "raw_path": scope["raw_path"] + b"x"},
        {**scope, "query_string": scope["query_string"] + b"&x=y"},
        {**scope, "headers": [*scope["headers"], (b"x-amz-acl", b"public-read")]},
        {**scope, "headers": [*scope["headers"], (b"host", b"localhost")]},
    ]
    if not is_presigned:
        shown = dict(scope["headers"])[b"authorization"]
        others = [one for one in scope["headers"] if one[0] != b"authorization"]
        scopes = (
            (b"20130524/", b"20130525/"),
            (b"eu-west-1", b"eu-west-2"),
            (service.encode(), b"x"),
        )
        for own, other in scopes:
            moved = shown.replace(own, other, 1)
            altered.append({**scope, "headers": [*others, (b"authorization", moved)]})
    for name, value in scope["headers"]:
        if name not in (b"authorization", b"content-length"):  # As long as its hash says.
            others = [one for one in scope["headers"] if one[0] != name]
            altered += [{**scope, "headers": [*others, (name, value + b"0")]}]
    for one in altered:
        with pytest.raises(SignatureError):
            verify(one)
    with pytest.raises(SignatureError):
        verify(scope, SECRET[::-1])
    if service != "s3":
        with pytest.raises(SignatureError):
            verify(scope, payload=EMPTY[::-1])


@pytest.mark.parametrize(
    ("service", "minutes"), [("sagemaker", 5), ("s3", 15)]
)  # fmt: skip
def test_a_signature_is_good_for_some_minutes(service: str, minutes: int) -> None:
    found = read_signature(
        signed(service, path="/", pairs={}, headers={}, body=b"", time=NOW + timedelta(hours=6))
    )
    about = NOW + timedelta(hours=6)

    for sign in (-1, 1):
        found.require_time(about + sign * timedelta(minutes=minutes))
        with pytest.raises(SignatureError) as told:
            found.require_time(about + sign * timedelta(minutes=minutes, seconds=1))
        assert told.value.reason == "skewed"
    # AWS's own sentence, word by word.
    first = "20130524T060000Z is now earlier than 20130524T06"
    assert str(told.value).startswith(f"Signature expired: {first}")


@pytest.mark.parametrize(
    "shown",
    [
        "AWS4-ECDSA-P256-SHA256 Credential=AKIA/20130524/s3/aws4_request, Signature=00",
        "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=AKIA, SignedHeaders=host, Signature=00",
        f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host, Signature={'é' * 64}",
        f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host;date, Signature={EMPTY}",
    ],
)
def test_what_is_no_whole_signature_of_version_4_is_refused(shown: str) -> None:
    for date in ("never", "Fri, 31 Dec 9999 23:59:59 -2359"):
        scope = scope_of("GET", "/", {"host": "a", "date": date, "authorization": shown})

        assert is_signed(scope)
        with pytest.raises(SignatureError) as told:
            read_signature(scope)
        assert told.value.reason == "incomplete"


@given(st.binary(max_size=80), st.booleans())
def test_no_body_is_taken_for_chunks_that_is_none(junk: bytes, is_after: bool) -> None:
    body = chunk(3, EMPTY) + junk if is_after else junk
    assume(not junk.startswith(b"0"))

    with pytest.raises(WireError):
        content_of({"content-encoding": "aws-chunked"}, None, body)
