"""One server for all files of this folder, and boto3's clients of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from driftline.serving.resources.reach import Reach
from tests.serving.aws.conftest import ACCOUNT, REGION, client_of
from tests.serving.conftest import Running
from tests.serving.hosting.formats.archives import pack

ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/AmazonSageMaker-ExecutionRole"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
ECHO = """
import json, os

def model_fn(model_dir):
    return os.environ["SUFFIX"]

def transform_fn(model, body, content_type, accept):
    if body == b"fail":
        raise ValueError("no such row")
    return body + model.encode(), "text/plain"
"""


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosting")


@pytest.fixture(scope="package")
def server(start: Any, folder: Path) -> Iterator[Running]:
    with start(folder, trust_pickle=True, reach=Reach(outputs=(str(folder),))) as found:
        yield found


@pytest.fixture(scope="package")
def client(server: Running) -> Iterator[Any]:
    with contextlib.closing(client_of(server.url, "sagemaker")) as found:
        yield found


@pytest.fixture(scope="package")
def runtime(server: Running) -> Iterator[Any]:
    with contextlib.closing(client_of(server.url, "sagemaker-runtime")) as found:
        yield found


@pytest.fixture(scope="package")
def model(client: Any, trained: Any) -> str:
    container = {"Image": IMAGE, "ModelDataUrl": f"file://{trained.file}"}
    client.create_model(ModelName="late", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return "late"


@pytest.fixture(scope="package")
def echo(client: Any, folder: Path) -> dict[str, Any]:
    """A container whose code answers what it was sent, and what its environment says."""
    archive = pack(folder / "echo.tar.gz", {"code/serve.py": ECHO})
    variables = {"SAGEMAKER_PROGRAM": "serve.py", "SUFFIX": "!"}
    return {"Image": IMAGE, "ModelDataUrl": str(archive), "Environment": variables}


def variant(name: str, model: str, **more: Any) -> dict[str, Any]:
    more = more or {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    return {"VariantName": name, "ModelName": model, **more}


def serve(client: Any, name: str, *variants: dict[str, Any], **config: Any) -> None:
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[*variants], **config)
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})


def refusal(call: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**given)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]
