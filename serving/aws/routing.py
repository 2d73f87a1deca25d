"""Which protocol, service and operation a request of AWS's clients asks for, on one port.

Every service but S3 is asked at ``POST /``; what tells them apart is a header, a path of Smithy's,
or a field of the form. Nothing here needs botocore's models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

from driftline.access.authentication import SHOWN_KEY
from driftline.access.signature import CREDENTIAL_KEY, credential_of
from driftline.loopback import Scope
from driftline.serving.aws.models import SERVICES, TARGETS, VERSIONS
from driftline.serving.aws.served import WireError

Protocol = Literal["json", "query", "cbor", "rest-json", "rest-xml"]
Headers = Mapping[str, str]

S3 = "s3"
# Every SDK of AWS sends it, also one that does not sign.
CALL_ID = "amz-sdk-invocation-id"
_FORM = "application/x-www-form-urlencoded"
_ACTION = re.compile(rb"(?:^|&)Action=")
_CBOR_PATH = re.compile(r"(?:/[^/]+)?/service/([^/]+)/operation/([^/]+)")
# A client may be told of an endpoint_url for each service, with a path.
_PREFIXES = frozenset({*SERVICES, "monitoring", S3, ""})
# Answered, and refused, on routes of their own (serving/http).
INVOCATION = re.compile(r"/endpoints/[^/]+/(async-)?invocations(-response-stream)?")
# Of SageMaker Metrics; no page of another site can send a PUT.
_METRICS = frozenset({("PUT", "/BatchPutMetrics"), ("POST", "/BatchGetMetrics")})
# A link to a page of ours leads there, whatever stands behind its "?".
_PAGES = re.compile(r"/(?:docs|openapi\.json|healthz|readyz|ui/.*|api/v1/.*)")
# What no page of another site can send with a form; behind a gate everybody is somebody.
_BY_CLIENTS = frozenset({CALL_ID, "authorization"})
# Anything that changes something is a POST: a link of another site's page could ask for a GET.
_READS = ("Describe", "Get", "List")


@dataclass(frozen=True)
class Asked:
    """An operation of a service, as asked for by a protocol; the fields of a form."""

    protocol: Protocol
    service: str
    operation: str
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name under which it is served."""
        return f"{self.service}.{self.operation}"


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in small letters; the first of several of one name."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
    }


def protocol_of(scope: Scope, headers: Headers) -> Protocol | None:
    """Return the protocol that a client of AWS asks by; None for a request that is none's."""
    path = scope["path"]
    if INVOCATION.fullmatch(path):
        return None
    if "smithy-protocol" in headers and _CBOR_PATH.fullmatch(path):
        return "cbor"
    # On no other path: some, such as that of health, are anybody's.
    if path.strip("/") in _PREFIXES:
        if "x-amz-target" in headers:
            return "json"
        is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        if is_form or _ACTION.search(scope.get("query_string", b"")):
            return "query"
    credential = credential_of(scope)
    if credential is not None and credential.service == S3:
        is_link = CREDENTIAL_KEY not in scope and "authorization" not in headers
        return None if is_link and _PAGES.fullmatch(path) else "rest-xml"
    if (scope["method"], path) in _METRICS:
        return "rest-json"
    return "rest-xml" if credential is None and CALL_ID in headers else None


def asked_for(scope: Scope, protocol: Protocol, headers: Headers, body: bytes) -> Asked:
    """Return what a request asks for; refuse a service that is not served."""
    services, form = TARGETS, dict[str, str]()
    if protocol == "query":
        form, services = _form_of(scope, body), VERSIONS
        named, operation = form.get("Version", ""), form.get("Action", "")
        if scope["method"] == "GET" and not operation.startswith(_READS):
            message = f"{operation[:80]} changes something; send a POST"
            raise WireError("InvalidAction", message, 405)
        if scope["method"] != "GET" and SHOWN_KEY not in scope and not _BY_CLIENTS & headers.keys():
            message = f'unsigned, as any web page can ask; sign it, or add the header "{CALL_ID}"'
            raise WireError("MissingAuthenticationToken", message, 403)
    elif protocol == "cbor":
        matched = _CBOR_PATH.fullmatch(scope["path"])
        assert matched is not None
        named, operation = matched.groups()
    elif protocol == "rest-json":
        named, operation = "SageMakerMetrics", scope["path"][1:]
    else:
        named, _, operation = headers["x-amz-target"].rpartition(".")
    if named not in services:
        raise not_served(f'{operation[:80]} of "{named[:80]}"')
    return Asked(protocol, services[named], operation, form)


def not_served(what: str) -> WireError:
    """Return the error that says of an operation that it is not served."""
    message = f"driftline does not serve {what}; docs/aws.md lists the operations that it serves"
    return WireError("NotImplemented", message, 501)


def _form_of(scope: Scope, body: bytes) -> dict[str, str]:
    """Return the fields of a form, from the body or, of a GET, from the address."""
    text = scope.get("query_string", b"") if scope["method"] == "GET" else body
    try:
        pairs = parse_qsl(
            text.decode(), keep_blank_values=True, errors="strict", max_num_fields=20_000
        )
    except ValueError as error:
        raise WireError("MalformedQueryString", f"the form cannot be read: {error}") from None
    return dict(pairs)
