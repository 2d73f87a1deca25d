"""One server for all files of this folder, and boto3's client of its CloudWatch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.serving.aws.conftest import ACCOUNT, REGION, client_of
from tests.serving.conftest import NOW, Running, resource

METRIC = {"Namespace": "Shop", "MetricName": "Orders"}
NORTH = [{"Name": "Region", "Value": "north"}]
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:on_call"
ALARM = {
    **METRIC,
    "Dimensions": NORTH,
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 100.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
SPAN = {"StartTime": NOW - timedelta(minutes=10), "EndTime": NOW}


@pytest.fixture(scope="package")
def wire_server(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start(tmp_path_factory.mktemp("cloudwatch")) as server:
        assert server.apply(resource("Channel", "on-call", url="https://x.example")).is_success
        yield server


@pytest.fixture(scope="package")
def client(wire_server: Running) -> Iterator[Any]:
    with contextlib.closing(client_of(wire_server.url, "cloudwatch")) as found:
        yield found


def refused(function: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        function(**given)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]
