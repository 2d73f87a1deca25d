"""Errors in each protocol, as botocore's clients read them.

Codes and statuses: botocore's models of the services; what the models do not have (SageMaker's
ValidationException, AccessDenied and the like) from AWS's pages of common errors.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser

from driftline.errors import (
    ConflictError,
    DriftlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
    UndecidedError,
)
from driftline.serving.aws.errors import wire_error
from driftline.serving.aws.models import service_model
from driftline.serving.aws.served import WireError
from driftline.serving.aws.writing import head_of, write_error
from driftline.serving.hosting.admission import BusyError

NAMES = {"cbor": "smithy-rpc-v2-cbor"}


def read(protocol: Any, service: str, error: WireError) -> tuple[int, dict[str, Any]]:
    """Return the status, and what botocore makes of an error."""
    reply = write_error(protocol, service_model(service), error, head_of(protocol, "id"))
    sent = {
        "status_code": reply.status_code,
        "headers": HeadersDict(reply.headers),
        "body": reply.body,
    }
    parsed = create_parser(NAMES.get(protocol, protocol)).parse(sent, None)
    assert parsed["ResponseMetadata"]["RequestId"] == "id"
    return reply.status_code, parsed["Error"]


@pytest.mark.parametrize("protocol", ["json", "cbor", "query"])
@pytest.mark.parametrize(
    ("raised", "code", "status"),
    [
        ("ResourceNotFound", "ResourceNotFound", 404),
        ("ValidationError", "ValidationError", 400),
        ("InvalidParameterCombination", "InvalidParameterCombination", 400),
        ("InvalidParameterValueException", "InvalidParameterValue", 400),
        ("MissingRequiredParameterException", "MissingParameter", 400),
        ("InvalidFormat", "InvalidFormat", 400),
        ("LimitExceeded", "LimitExceeded", 400),
        ("DashboardInvalidInputError", "InvalidParameterInput", 400),
        ("ConcurrentModificationException", "ConcurrentModificationException", 429),
        ("ResourceConflict", "ResourceConflict", 409),
    ],
)
def test_cloudwatch_has_one_code_in_every_protocol(
    protocol: str, raised: str, code: str, status: int
) -> None:
    found, error = read(protocol, "cloudwatch", WireError(raised, "<it> & \x00 \ud83d"[:6]))

    assert (found, error["Code"], error["Message"]) == (status, code, "<it> &")


def test_what_xml_cannot_hold_is_left_out() -> None:
    _, error = read("query", "sns", WireError("NotFound", "a\x00b\x1fc\ufffe]]>"))

    assert error["Message"] == "abc]]>"


@pytest.mark.parametrize(
    ("error", "codes"),
    [
        (NotFoundError("x"), "ValidationException ResourceNotFound ObjectNotFoundException "
                             "ResourceNotFoundException NotFound"),
        (ConflictError("x"), "ValidationException ResourceConflict ConcurrentUpdateException "
                             "ResourceAlreadyExistsException InvalidParameter"),
        (InputError("x"), "ValidationException ValidationError ValidationException "
                          "InvalidParameterException InvalidParameter"),
        (UndecidedError("x"), "ValidationException ValidationError ValidationException "
                              "InvalidParameterException InvalidParameter"),
        (ForbiddenError("x"), "AccessDeniedException AccessDeniedException AccessDeniedException "
                              "AccessDeniedException AccessDenied"),
        (BusyError("x"), "ThrottlingException " * 5),
        (UnavailableError("x"), "ServiceUnavailable " * 5),
    ],
)  # fmt: skip
def test_our_errors_have_the_codes_that_clients_match_on(error: DriftlineError, codes: str) -> None:
    services = ("sagemaker", "cloudwatch", "application-autoscaling", "logs", "sns")
    for service, code in zip(services, codes.split(), strict=True):
        protocol: Any = "query" if service == "sns" else "json"

        status, found = read(protocol, service, wire_error(error, service, protocol))

        assert found["Code"] == code, service
        assert status == 503 if code == "ServiceUnavailable" else status < 500
