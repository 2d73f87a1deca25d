"""Requests that break their model's constraints are refused in AWS's words.

The words: answers of AWS in LocalStack's validated snapshots (cloudwatch) and in users' reports of
``1 validation error detected`` (SageMaker, Lambda).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, NoReturn

import pytest

from driftline.serving.aws import areas  # noqa: F401 - registers all
from driftline.serving.aws.constraints import InvalidRequestError, checked, fits
from driftline.serving.aws.models import SERVICES, service_model
from driftline.serving.aws.served import SERVED, WireError

LONG = 2000
PIECES = ("a", "-", "a-", "0", "/", "a/", " ", "\n", "a.", "a ", "x_", ":", "1.", "\t \n")


def refused(service: str, operation: str, **given: Any) -> str:
    """Return the message of a refusal."""
    shape = service_model(service).operation_model(operation).input_shape
    with pytest.raises(InvalidRequestError) as caught:
        checked(shape, given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("operation", "given", "message"),
    [
        (
            ("cloudwatch", "SetAlarmState"),
            {"AlarmName": "a", "StateValue": "INVALID", "StateReason": "r"},
            "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy "
            "constraint: Member must satisfy enum value set: [OK, ALARM, INSUFFICIENT_DATA]",
        ),
        (
            ("sagemaker", "DescribeEndpoint"),
            {},
            "1 validation error detected: Value null at 'endpointName' failed to satisfy "
            "constraint: Member must not be null",
        ),
        (
            ("sagemaker", "DescribeEndpoint"),
            {"EndpointName": "_"},
            "1 validation error detected: Value '_' at 'endpointName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: "
            "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            ("sagemaker", "ListEndpoints"),
            {"MaxResults": 101, "NameContains": "a" * 64},
            "2 validation errors detected: Value '101' at 'maxResults' failed to satisfy "
            "constraint: Member must have value less than or equal to 100; Value '"
            + "a"
            * 64
            + "' at 'nameContains' failed to satisfy constraint: Member must have length less "
            "than or equal to 63",
        ),
        (
            ("sagemaker", "CreateEndpointConfig"),
            {
                "EndpointConfigName": "c",
                "ProductionVariants": [
                    {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 0}
                ],
            },
            "1 validation error detected: Value '0' at "
            "'productionVariants.1.member.initialInstanceCount' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
        (
            ("sagemaker", "DeleteTags"),
            {"ResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:model/m", "TagKeys": [""]},
            "1 validation error detected: Value '[]' at 'tagKeys' failed to satisfy constraint: "
            "Member must satisfy constraint: [Member must have length less than or equal to 128, "
            "Member must have length greater than or equal to 1, Member must satisfy regular "
            r"expression pattern: ([\p{L}\p{Z}\p{N}_.:/=+\-@]*)]",
        ),
    ],
)
def test_a_refusal_says_what_aws_says(
    operation: tuple[str, str], given: dict[str, Any], message: str
) -> None:
    assert refused(*operation, **given) == message


def test_what_is_secret_is_not_repeated() -> None:
    card = {"ModelCardName": "c", "Content": "a\nsecret", "ModelCardStatus": "Draft"}

    assert refused("sagemaker", "CreateModelCard", **card) == (
        "1 validation error detected: Value at 'content' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: .*"
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"MaxResults": "ten"}, 'maxResults is "ten"; expected type integer'),
        ({"MaxResults": True}, "maxResults is bool; expected type integer"),
        ({"MaxResults": 1.5}, "maxResults is float; expected type integer"),
        ({"MaxResults": 1 << 31}, "maxResults is int; expected type integer"),
        ({"NameContains": 1}, "nameContains is int; expected type string"),
        ({"CreationTimeAfter": "noon"}, 'creationTimeAfter is "noon"; expected type timestamp'),
        ({"CreationTimeAfter": 1e18}, "creationTimeAfter is float; expected type timestamp"),
        (["MaxResults"], "body is list; expected type structure"),
    ],
)
def test_another_type_is_refused_by_where_it_stands(given: Any, problem: str) -> None:
    shape = service_model("sagemaker").operation_model("ListModels").input_shape

    with pytest.raises(WireError) as caught:
        checked(shape, given)

    assert (caught.value.code, caught.value.message) == ("SerializationException", problem)


def test_a_message_stays_short() -> None:
    keys = [{"Key": "k" * 200, "Value": "v" * 10_000} for _ in range(50)]
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:model/m"

    message = refused("sagemaker", "AddTags", ResourceArn=arn, Tags=keys)

    assert message.startswith("100 validation errors detected: ")
    assert len(message) < 6000


def test_a_hostile_request_is_looked_at_no_further_than_is_told() -> None:
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:model/m"

    too_many = refused("sagemaker", "AddTags", ResourceArn=arn, Tags=[{}] * 51)
    unbounded = refused("cloudwatch", "PutMetricData", Namespace="n", MetricData=Endless([{}]))

    assert too_many.startswith("1 validation error detected: Value '[{}, {}, ")
    assert too_many.endswith("Member must have length less than or equal to 50")
    assert unbounded.startswith("100 validation errors detected: ")


class Endless(list[Any]):
    """Items that have no end, for whoever goes through all of them."""

    def __iter__(self) -> Iterator[Any]:
        return cycle(super().__iter__())


@pytest.mark.parametrize(
    ("pattern", "text", "is_whole"),
    [
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "Größe 漢 ½", True),
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "a#b", False),
        (r"\p{L}+", "x1", False),
        (r"\p{ASCII}*", "é", False),
        (r"\A\S[\p{Print}]*\z", "a b~", True),
        (r"\A\S[\p{Print}]*\z", "a\n", False),
        (r"^a$", "a\n", False),
        (r"[\d]+", "٣", False),
        (r"[\w-_]*", "a-_", True),
        (r"([\p{L}]*)${1,128}", "é", True),
    ],
)
def test_patterns_match_as_in_java(pattern: str, text: str, is_whole: bool) -> None:
    assert fits(pattern, text) == is_whole


def test_every_pattern_of_every_service_is_read() -> None:
    found = {one for service in SERVICES for one in patterns_of(service_model(service))}

    assert len(found) > 300
    for pattern in found:
        assert isinstance(fits(pattern, "é"), bool)


def patterns_of(model: Any) -> set[str]:
    shapes = map(model.shape_for, model.shape_names)
    return {one.metadata["pattern"] for one in shapes if "pattern" in one.metadata}


def test_no_pattern_of_what_is_served_takes_long_on_any_text(tmp_path: Path) -> None:
    found: dict[str, int] = {}
    for key in SERVED:
        service, _, name = key.partition(".")
        collect(service_model(service).operation_model(name).input_shape, found, set())
    last = tmp_path / "pattern"

    # A match cannot be interrupted, but a process can.
    if not (child := os.fork()):
        try_all(found, last)
    _, status = os.waitpid(child, 0)

    assert found
    assert status == 0, last.read_text()


def collect(shape: Any, found: dict[str, int], seen: set[str]) -> None:
    """Find the patterns below a shape, each with the greatest length that it is tried on."""
    if shape is None or shape.name in seen:
        return
    seen.add(shape.name)
    if "pattern" in shape.metadata:
        most = min(shape.metadata.get("max", LONG), LONG)
        found[shape.metadata["pattern"]] = max(found.get(shape.metadata["pattern"], 0), most)
    parts = {
        "structure": lambda: [*shape.members.values()],
        "list": lambda: [shape.member],
        "map": lambda: [shape.key, shape.value],
    }
    for part in parts.get(shape.type_name, list)():
        collect(part, found, seen)


def try_all(patterns: dict[str, int], last: Path) -> NoReturn:
    """Try patterns on texts that nearly fit; the system ends the process after 5 s of CPU time."""
    signal.setitimer(signal.ITIMER_PROF, 5)
    for pattern, length in patterns.items():
        last.write_text(pattern)
        for piece in PIECES:
            fits(pattern, (piece * length)[: length - 1] + "\x00")
    os._exit(0)
