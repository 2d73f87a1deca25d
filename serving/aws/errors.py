"""DriftlineErrors as AWS's services tell them: one table of codes."""

from __future__ import annotations

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
    InputError,
    NotFoundError,
    UnavailableError,
)
from driftline.serving.aws.models import NoModelsError
from driftline.serving.aws.routing import Protocol
from driftline.serving.aws.served import WireError
from driftline.serving.bodies.media_types import UnsupportedMediaError
from driftline.serving.hosting.admission import BusyError
from driftline.serving.http.responses import (
    BodyTimeoutError,
    TooLargeError,
    status_of,
)

# Of what is not there, what is in the way, what is wrong, and a bad token of a page. SageMaker's
# old resources know nothing but ValidationException.
_CODES = {
    "application-autoscaling": (
        "ObjectNotFoundException", "ConcurrentUpdateException", "ValidationException",
        "InvalidNextTokenException",
    ),
    "cloudwatch": (
        "ResourceNotFound", "ResourceConflict", "ValidationError", "InvalidNextToken",
    ),
    "events": (
        "ResourceNotFoundException", "ResourceAlreadyExistsException", "ValidationException",
        "ValidationException",
    ),
    "logs": (
        "ResourceNotFoundException", "ResourceAlreadyExistsException", "InvalidParameterException",
        "InvalidParameterException",
    ),
    "sagemaker-runtime": ("ValidationError",) * 4,
    "sns": ("NotFound", "InvalidParameter", "InvalidParameter", "InvalidParameter"),
    "sts": ("ValidationError",) * 4,
}  # fmt: skip
_USUAL = ("ValidationException",) * 4
# What clients of CloudWatch match on beside these; the first match wins.
_CLOUDWATCH: tuple[tuple[type[DriftlineError], str], ...] = (
    (MissingField, "MissingParameter"),
    (FieldConflict, "InvalidParameterCombination"),
    (DatapointError, "InvalidParameterValue"),
    (DetectorError, "InvalidParameterValue"),
    (UnknownDetector, "ResourceNotFoundException"),
    (AlarmInUse, "ValidationError"),
)
# Whichever the service; the first match wins.
_EVERYWHERE: tuple[tuple[type[DriftlineError], str, int], ...] = (
    (NoModelsError, "NotImplemented", 501),
    (TooLargeError, "RequestEntityTooLarge", 413),
    (BodyTimeoutError, "RequestTimeout", 408),
    (UnsupportedMediaError, "UnsupportedMediaType", 415),
    (BusyError, "ThrottlingException", 400),
    (UnavailableError, "ServiceUnavailable", 503),
)


def wire_error(error: DriftlineError, service: str, protocol: Protocol) -> WireError:
    """Return an error of ours as the error that clients of a service know."""
    message = str(error)
    for kind, code, status in _EVERYWHERE:
        if isinstance(error, kind):
            return WireError(code, message, status)
    if isinstance(error, ForbiddenError):
        is_query = protocol in ("query", "rest-xml")
        return (
            WireError("AccessDenied", message, 403)
            if is_query
            else WireError("AccessDeniedException", message, 400 if protocol == "json" else 403)
        )
    for kind, code in _CLOUDWATCH if service == "cloudwatch" else ():
        if isinstance(error, kind):
            return WireError(code, message)
    missing, conflict, invalid, _ = _CODES.get(service, _USUAL)
    if isinstance(error, NotFoundError):
        return WireError(missing, message)
    if isinstance(error, ConflictError):
        return WireError(conflict, message)
    if isinstance(error, InputError) or status_of(error)[0] < 500:
        return WireError(invalid, message)
    return WireError("InternalFailure", message, 500)


def invalid_code(service: str) -> str:
    """Return the code of a request that breaks its model's constraints."""
    return "ValidationError" if service in ("cloudwatch", "sns") else _CODES.get(service, _USUAL)[2]


def token_code(service: str) -> str:
    """Return the code of a token that is of no page of this list."""
    return _CODES.get(service, _USUAL)[3]
