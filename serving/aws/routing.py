"""Which protocol, service and operation a request of AWS's clients asks for, on one port.

Every service but S3 and the REST ones is asked at ``POST /``; what tells them apart is a
header, a path of Smithy's, or a field of the form. Nothing here needs botocore's models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal
from urllib.parse import parse_qsl, unquote

from driftline.loopback import Scope
from driftline.serving.aws.models import SERVICES
from driftline.serving.aws.served import SERVED, WireError

Protocol = Literal["json", "query", "cbor", "rest-json", "rest-xml"]

# Of a gate that has verified a signature and keeps the header to itself: its credential, as in
# "AKIAEXAMPLE/20261130/eu-west-1/sagemaker/aws4_request".
CREDENTIAL_KEY = "driftline.aws_credential"

TARGETS = {
    "AWSEvents": "events",
    "AnyScaleFrontendService": "application-autoscaling",
    "GraniteServiceVersion20100801": "cloudwatch",
    "Logs_20140328": "logs",
    "SageMaker": "sagemaker",
}
VERSIONS = {"2010-03-31": "sns", "2010-08-01": "cloudwatch", "2011-06-15": "sts"}
# By operation: the method and the path, with the members that the path holds.
_ENDPOINT = "/endpoints/(?P<EndpointName>[^/]+)/"
_PATHS = {
    "sagemaker-runtime.InvokeEndpoint": ("POST", f"{_ENDPOINT}invocations"),
    "sagemaker-runtime.InvokeEndpointAsync": ("POST", f"{_ENDPOINT}async-invocations"),
    "sagemaker-runtime.InvokeEndpointWithResponseStream": (
        "POST", f"{_ENDPOINT}invocations-response-stream",
    ),
    "sagemaker-metrics.BatchPutMetrics": ("PUT", "/BatchPutMetrics"),
    "sagemaker-metrics.BatchGetMetrics": ("POST", "/BatchGetMetrics"),
}  # fmt: skip
# As bare routes answer them (serving/http, serving/operations).
_ON_ROUTES = {"sagemaker-runtime.InvokeEndpoint", "sagemaker-runtime.InvokeEndpointAsync"}
S3 = "s3"

_pairs = partial(parse_qsl, keep_blank_values=True, errors="strict", max_num_fields=20_000)
_FORM = "application/x-www-form-urlencoded"
_CBOR_PATH = re.compile(r"(?:/[^/]+)?/service/([^/]+)/operation/([^/]+)")
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256\s.*?Credential=([^\s,]+)")
_ACTION = re.compile(rb"(?:^|&)Action=")
_PRESIGNED = re.compile(rb"(?:^|&)X-Amz-Credential=([^&]+)")
# Every SDK of AWS sends it, also one that does not sign.
CALL_ID = "amz-sdk-invocation-id"
# A client may be told of an endpoint_url for each service, with a path.
_PREFIXES = frozenset({*SERVICES, "monitoring", S3})
# Anything that changes something is a POST: a link of another site's page could ask for a GET.
_READS = ("Describe", "Get", "List")


@dataclass(frozen=True)
class Credential:
    """What a signature names: a key, and the region and the service that it is for."""

    key: str = ""
    region: str = ""
    service: str = ""


@dataclass(frozen=True)
class Asked:
    """An operation of a service, as asked for by a protocol."""

    protocol: Protocol
    service: str
    operation: str
    # The members of a REST request that its path holds.
    in_path: Mapping[str, str] = field(default_factory=dict)

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


def credential_of(scope: Scope, headers: Mapping[str, str]) -> Credential:
    """Return what the signature of a request names; empty for one that is not signed."""
    text = scope.get(CREDENTIAL_KEY)
    if text is None and (found := _CREDENTIAL.match(headers.get("authorization", ""))):
        text = found[1]
    if text is None and (shown := _PRESIGNED.search(scope.get("query_string", b""))):
        text = unquote(shown[1].decode("latin-1"))
    parts = (text or "").split("/")
    return Credential(parts[0], parts[-3], parts[-2]) if len(parts) >= 5 else Credential()


def protocol_of(scope: Scope, headers: Mapping[str, str]) -> Protocol | None:
    """Return the protocol that a client of AWS asks by; None for a request that is none's."""
    path = scope["path"]
    if "smithy-protocol" in headers and _CBOR_PATH.fullmatch(path):
        return "cbor"
    # On no other path: some, such as that of health, are anybody's.
    if path.strip("/") in _PREFIXES | {""}:
        if "x-amz-target" in headers:
            return "json"
        is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        if is_form or _ACTION.search(scope.get("query_string", b"")):
            return "query"
    signed_for = credential_of(scope, headers).service
    if signed_for != S3 and (found := _rest(scope)) is not None:
        return None if found.key in _ON_ROUTES - SERVED.keys() else "rest-json"
    is_s3 = signed_for == S3 or (CALL_ID in headers and not signed_for)
    return "rest-xml" if is_s3 else None


def asked_for(
    scope: Scope, protocol: Protocol, headers: Mapping[str, str], form: Mapping[str, str]
) -> Asked:
    """Return what a request asks for; refuse a service that nobody here knows."""
    if protocol == "rest-xml":
        raise WireError("NotImplemented", "S3 is not served by this server", 501)
    if protocol == "rest-json":
        found = _rest(scope)
        assert found is not None
        return found
    services = TARGETS
    if protocol == "query":
        named, operation, services = form.get("Version", ""), form.get("Action", ""), VERSIONS
        if scope["method"] == "GET" and not operation.startswith(_READS):
            raise WireError(
                "InvalidAction", f"{operation[:80]} changes something; send a POST", 405
            )
    elif protocol == "json":
        named, _, operation = headers["x-amz-target"].rpartition(".")
    else:
        matched = _CBOR_PATH.fullmatch(scope["path"])
        assert matched is not None
        named, operation = matched.groups()
    service = services.get(named)
    if service is None:
        raise WireError(
            "UnknownOperationException" if protocol != "query" else "InvalidAction",
            f'no service "{named[:80]}" is served here; there are {", ".join(SERVICES)}, s3', 404,
        )  # fmt: skip
    return Asked(protocol, service, operation)


def form_of(scope: Scope, body: bytes) -> dict[str, str]:
    """Return the fields of a form, from the body or, of a GET, from the address."""
    text = scope.get("query_string", b"") if scope["method"] == "GET" else body
    try:
        return dict(_pairs(text.decode()))
    except ValueError as error:
        raise WireError("MalformedQueryString", f"the form cannot be read: {error}") from None


def _rest(scope: Scope) -> Asked | None:
    """Return which REST operation a request asks for, by its path as it was sent."""
    sent = scope.get("raw_path") or scope["path"].encode()
    path = sent.partition(b"?")[0].decode("latin-1")
    prefix, slash, rest = path[1:].partition("/")
    if slash and prefix in _PREFIXES:
        path = f"/{rest}"
    for key, (method, pattern) in _PATHS.items():
        if method == scope["method"] and (matched := re.fullmatch(pattern, path)):
            service, _, operation = key.partition(".")
            named = {name: unquote(value) for name, value in matched.groupdict().items()}
            return Asked("rest-json", service, operation, named)
    return None
