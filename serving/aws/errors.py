"""Errors as AWS's services tell them: one table of codes, by what is wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from driftline.access.principal import CURRENT
from driftline.access.signature import Reason, SignatureError
from driftline.alerts.errors import (
    AlarmInUse,
    DatapointError,
    DetectorError,
    FieldConflict,
    MissingField,
    UnknownDetector,
)
from driftline.errors import (
    ConflictError,
    DriftlineError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from driftline.serving.aws.constraints import InvalidRequestError
from driftline.serving.aws.models import NoModelsError
from driftline.serving.aws.routing import Protocol
from driftline.serving.aws.served import BadTokenError, WireError
from driftline.serving.bodies.media_types import UnsupportedMediaError
from driftline.serving.hosting.admission import BusyError
from driftline.serving.http.responses import (
    BodyTimeoutError,
    TooLargeError,
    domain_error,
    status_of,
)

log = logging.getLogger(__name__)

# Whichever the service.
_EVERYWHERE: Mapping[type, tuple[str, int]] = {
    NoModelsError: ("NotImplemented", 501),
    TooLargeError: ("RequestEntityTooLarge", 413),
    BodyTimeoutError: ("RequestTimeout", 408),
    UnsupportedMediaError: ("UnsupportedMediaType", 415),
    BusyError: ("ThrottlingException", 400),
    UnavailableError: ("ServiceUnavailable", 503),
}
# Of signatures, by reason: for JSON, REST and CBOR; for the query protocol; for S3.
_SIGNATURES: Mapping[Reason, tuple[str, str, str]] = {
    "missing": (
        "MissingAuthenticationTokenException", "MissingAuthenticationToken", "AccessDenied",
    ),
    "incomplete": (
        "IncompleteSignatureException", "IncompleteSignature", "AuthorizationHeaderMalformed",
    ),
    "unknown": ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"),
    "mismatch": ("InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch"),
    "skewed": ("InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed"),
    "expired": ("InvalidSignatureException", "RequestExpired", "AccessDenied"),
    "ended": ("ExpiredTokenException", "ExpiredToken", "ExpiredToken"),
    "payload": ("InvalidSignatureException", "SignatureDoesNotMatch", "XAmzContentSHA256Mismatch"),
}  # fmt: skip
_BAD_REQUESTS = frozenset(
    {*_SIGNATURES["incomplete"], "RequestExpired", "XAmzContentSHA256Mismatch"}
)
# By service, by the nearest kind of an error. SageMaker's old resources know nothing but
# ValidationException.
_CODES: Mapping[str, Mapping[type, str]] = {
    "application-autoscaling": {
        NotFoundError: "ObjectNotFoundException",
        ConflictError: "ConcurrentUpdateException",
        BadTokenError: "InvalidNextTokenException",
        DriftlineError: "ValidationException",
    },
    "cloudwatch": {
        NotFoundError: "ResourceNotFound",
        UnknownDetector: "ResourceNotFoundException",
        ConflictError: "ResourceConflict",
        AlarmInUse: "ValidationError",
        BadTokenError: "InvalidNextToken",
        MissingField: "MissingParameter",
        FieldConflict: "InvalidParameterCombination",
        DatapointError: "InvalidParameterValue",
        DetectorError: "InvalidParameterValue",
        DriftlineError: "ValidationError",
    },
    "logs": {
        NotFoundError: "ResourceNotFoundException",
        ConflictError: "ResourceAlreadyExistsException",
        InvalidRequestError: "InvalidParameterException",
        DriftlineError: "InvalidParameterException",
    },
    "s3": {NotFoundError: "NoSuchKey", DriftlineError: "InvalidArgument"},
    "sns": {
        NotFoundError: "NotFound",
        InvalidRequestError: "ValidationError",
        DriftlineError: "InvalidParameter",
    },
    "sts": {DriftlineError: "ValidationError"},
}
_USUAL: Mapping[type, str] = {DriftlineError: "ValidationException"}


def wire_error(error: Exception, service: str, protocol: Protocol | None) -> WireError:
    """Return an error as the error that clients of a service know."""
    if isinstance(error, WireError):
        return error
    error = domain_error(error)
    if isinstance(error, NotFoundError) and CURRENT.get().endpoints is not None:
        # To those who are for some endpoints it would name the nearest of others.
        error = NotFoundError("it does not exist")
    if not isinstance(error, DriftlineError):
        log.error("status=500 service=%s", service, exc_info=error)
        return WireError("InternalFailure", "the request failed; the server's log says why", 500)
    kinds = type(error).__mro__
    if isinstance(error, SignatureError):
        code = _SIGNATURES[error.reason][{"query": 1, "rest-xml": 2}.get(protocol or "", 0)]
        status = 400 if code in _BAD_REQUESTS else 403
    elif isinstance(error, ForbiddenError) and protocol in ("query", "rest-xml"):
        code, status = "AccessDenied", 403
    elif isinstance(error, ForbiddenError):
        code, status = "AccessDeniedException", 400 if protocol == "json" else 403
    elif found := [_EVERYWHERE[kind] for kind in kinds if kind in _EVERYWHERE]:
        code, status = found[0]
    elif status_of(error)[0] < 500:
        codes = _CODES.get(service, _USUAL)
        return WireError(next(codes[kind] for kind in kinds if kind in codes), str(error))
    else:
        code, status = "InternalFailure", 500
    if status >= 500:
        log.warning("status=%d service=%s error=%s", status, service, error)
    return WireError(code, str(error), status)
