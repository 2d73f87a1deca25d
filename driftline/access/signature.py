"""Signature Version 4 of AWS: whose request this is, and whether it is still what was signed.

Source: IAM User Guide, "Create a signed AWS API request"; of bodies in chunks: Amazon S3 API
Reference, "Signature calculations for the Authorization header: transferring payload in multiple
chunks" and "... including trailing headers".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Literal
from urllib.parse import quote, unquote, unquote_to_bytes

from driftline.errors import ForbiddenError
from driftline.loopback import Scope

Reason = Literal[
    "missing", "incomplete", "unknown", "mismatch", "skewed", "expired", "ended", "payload"
]

ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
# What S3 declares of a body in chunks: each is signed, the trailers too, or none.
SIGNED_CHUNKS, TRAILER = f"STREAMING-{ALGORITHM}-PAYLOAD", "-TRAILER"
_UNSIGNED_CHUNKS = f"STREAMING-{_UNSIGNED}{TRAILER}"
_STAMP = "%Y%m%dT%H%M%SZ"
_BASIC = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_WEEK_S = 604_800
_CREDENTIAL = re.compile(
    r"Credential=([\w.+=@-]{1,128})/(\d{8})/([\w-]{1,40})/([\w-]{1,40})/aws4_request", re.ASCII
)
DIGEST = re.compile(r"[0-9a-f]{64}")
# Refuses the next part of a body, by what is shown as its signature, its kind and its digests.
Chain = Callable[..., None]
# Altered on their way they would alter the answer; load balancers add others of x-amzn-.
_SIGNED_ALWAYS = ("x-amz-", "x-amzn-sagemaker-")
# Parameters of a presigned URL that say no more than whose it is.
PRESIGNED = frozenset(
    f"X-Amz-{one}"
    for one in (
        "Algorithm", "Credential", "Date", "Expires", "Security-Token", "Signature", "SignedHeaders"
    )
)  # fmt: skip
# Of a scope: the `Credential` of a request that a gate has verified.
CREDENTIAL_KEY = "driftline.aws_credential"
# Of the same gate: the `Chain` of what a body of S3 comes in, which whoever reads it has to verify.
CHAIN_KEY = "driftline.aws_chain"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)


class SignatureError(ForbiddenError):
    """A signed request is refused; AWS has codes of its own for each reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Credential:
    """The access key that a request names, and the day, region and service that it signed for."""

    key_id: str
    day: str
    region: str
    service: str

    @property
    def scope(self) -> str:
        """What a signature is good for."""
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request says of its signature, and what was to be signed of it."""

    credential: Credential
    time: datetime
    signature: str
    head: str  # The canonical request without its last line, which is the hash of the body.
    payload: str  # What is declared of the body: a hash, a word of AWS's; "" where nothing is.
    token: str  # Of a session; "" where there is none.
    expires_s: int | None  # None: not of a presigned URL.

    def require_time(self, now: datetime) -> None:
        """Refuse a signature that is too old, or of a time to come."""
        minutes = 15 if self.credential.service == "s3" else 5
        skew = timedelta(minutes=minutes)
        first, last, shown = now - skew, now + skew, f"{self.time:{_STAMP}}"
        if self.time > last:
            problem = f"not yet current: {shown} is still later than {last:{_STAMP}}"
            raise SignatureError("skewed", f"Signature {problem} ({now:{_STAMP}} + {minutes} min.)")
        if self.expires_s is not None:
            if now >= self.time + timedelta(seconds=self.expires_s):
                raise SignatureError("expired", "Request has expired")
        elif self.time < first:
            problem = f"expired: {shown} is now earlier than {first:{_STAMP}}"
            raise SignatureError("skewed", f"Signature {problem} ({now:{_STAMP}} - {minutes} min.)")

    def require_payload(self, *, is_private: bool) -> None:
        """Refuse a body that is not signed, where somebody on its way could alter it (no TLS)."""
        word, is_s3 = self.payload, self.credential.service == "s3"
        is_chunked = is_s3 and word.removesuffix(TRAILER) == SIGNED_CHUNKS
        if word == _UNSIGNED or (is_s3 and word == _UNSIGNED_CHUNKS):
            # Whoever has a presigned URL may send with it what they like.
            if not is_private and self.expires_s is None:
                raise SignatureError("payload", f"{word} is taken over https only; sign the body")
        elif word and not is_chunked and not DIGEST.fullmatch(word):
            message = f'x-amz-content-sha256 is "{word[:60]}"; expected a hash'
            raise SignatureError("payload", message)

    def verify(self, secret: str, payload: str) -> None:
        """Refuse a request that was not signed with a secret, and with this hash of its body."""
        digest = sha256(f"{self.head}\n{payload}".encode("latin-1")).hexdigest()
        self.require(secret, self.signature, ALGORITHM, digest)

    def require(self, secret: str, signature: str, kind: str, *lines: str) -> None:
        """Refuse a signature that is not of these lines, in the request's time and scope."""
        one = self.credential
        text = "\n".join((kind, f"{self.time:{_STAMP}}", one.scope, *lines))
        key = signing_key(secret, one.day, one.region, one.service)
        expected = hmac.new(key, text.encode(), sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode("latin-1")):
            raise SignatureError("mismatch", _MISMATCH)

    def chain(self, secret: str) -> Chain:
        """Return what refuses parts of a body: each is signed over the signature before it."""
        previous = self.signature

        def require(shown: str, kind: str, *digests: str) -> None:
            nonlocal previous
            self.require(secret, shown, f"{ALGORITHM}-{kind}", previous, *digests)
            previous = shown

        return require


@lru_cache(maxsize=256)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """Return the key that signs for a day, a region and a service."""
    key = f"AWS4{secret}".encode()
    for text in (day, region, service, "aws4_request"):
        key = hmac.new(key, text.encode(), sha256).digest()
    return key


def is_signed(scope: Scope) -> bool:
    """Whether a request comes with a signature of AWS's, of whatever version."""
    return b"X-Amz-Signature=" in scope.get("query_string", b"") or any(
        name == b"authorization" and value.startswith((b"AWS4-", b"AWS "))
        for name, value in scope["headers"]
    )


def credential_of(scope: Scope) -> Credential | None:
    """Return the credential that a gate has verified; without a gate, the one that is shown."""
    if CREDENTIAL_KEY in scope:
        verified: Credential = scope[CREDENTIAL_KEY]
        return verified
    shown = [value for name, value in scope["headers"] if name == b"authorization"]
    text = (*shown, scope.get("query_string", b""))[0].decode("latin-1")
    found = _CREDENTIAL.search(unquote(text)) if "Credential=" in text else None
    return None if found is None else Credential(*found.groups())


def read_signature(scope: Scope) -> Signature:
    """Read the signature of a request that `is_signed`; refuse one that is not whole."""
    headers = _headers(scope)
    pairs = scope["query_string"].decode("latin-1").split("&")
    query = [(name, value) for name, _, value in (one.partition("=") for one in pairs)]
    asked = [(name, unquote(value)) for name, value in query if name in PRESIGNED]
    shown = headers.get("authorization", "")
    if asked and (shown or len(dict(asked)) < len(asked)):
        raise SignatureError("incomplete", "more than one signature; expected one, in one place")
    if asked:
        parts = {name.removeprefix("X-Amz-"): value for name, value in asked}
    else:
        algorithm, _, rest = shown.partition(" ")
        fields = (one.strip().partition("=") for one in rest.split(","))
        parts = {name: value for name, _, value in fields}
        parts |= {"Algorithm": algorithm, "Date": headers.get("x-amz-date", "")}
    if parts.get("Algorithm") != ALGORITHM:
        message = f'signed by "{parts.get("Algorithm", "")[:40]}"; expected {ALGORITHM}'
        raise SignatureError("incomplete", message)
    named = _CREDENTIAL.fullmatch(f"Credential={parts.get('Credential')}")
    if named is None or not DIGEST.fullmatch(parts.get("Signature", "")):
        message = "Authorization header requires 'Credential' and 'Signature' as in Version 4."
        raise SignatureError("incomplete", message)
    credential, names = Credential(*named.groups()), parts.get("SignedHeaders", "").split(";")
    _require_signed(names, headers)
    path, payload = scope["raw_path"].partition(b"?")[0], headers.get("x-amz-content-sha256", "")
    if credential.service != "s3":
        path = quote(path, safe="/~").encode()
    elif asked:
        payload = payload or _UNSIGNED
    lines = [scope["method"], path.decode("latin-1"), _canonical(query)]
    lines += [*(f"{name}:{headers[name]}" for name in names), "", ";".join(names)]
    return Signature(
        credential, _time(parts.get("Date", ""), credential.day), parts["Signature"],
        "\n".join(lines), payload,
        token=parts.get("Security-Token") or headers.get("x-amz-security-token", ""),
        expires_s=_expires_s(parts.get("Expires", "")) if asked else None,
    )  # fmt: skip


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers as they are signed: with single blanks, and those of a name joined."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), b" ".join(value.split()).decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _canonical(query: Iterable[tuple[str, str]]) -> str:
    pairs = sorted(
        [quote(unquote_to_bytes(text.replace("+", " ")), safe="-_.~") for text in (name, value)]
        for name, value in query
        if name not in ("", "X-Amz-Signature")
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _require_signed(names: Collection[str], headers: Mapping[str, str]) -> None:
    """Refuse what could be altered unseen, or was lost on its way."""
    needed = {name for name in headers if name.startswith(_SIGNED_ALWAYS)} | {"host"}
    if unsigned := sorted(needed - {*names}):
        raise SignatureError("mismatch", f'the header "{unsigned[0][:80]}" has to be signed')
    if lost := [name for name in names if name not in headers]:
        raise SignatureError("mismatch", f'no header "{lost[0][:80]}", which is signed')


def _time(stamp: str, day: str) -> datetime:
    try:
        time = datetime.fromisoformat(stamp if _BASIC.fullmatch(stamp) else "")
    except ValueError:
        reason = f"Date must be in ISO-8601 'basic format'. Got '{stamp[:40]}'."
        raise SignatureError("incomplete", reason) from None
    if not stamp.startswith(day):
        raise SignatureError(
            "mismatch", "Credential should be scoped to correct date: Date in Credential scope "
            "does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{day}' != '{stamp[:8]}', from '{stamp}'.",
        )  # fmt: skip
    return time


def _expires_s(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= _WEEK_S:
        raise SignatureError("incomplete", f"X-Amz-Expires must be from 1 to {_WEEK_S} (a week)")
    return int(text)
