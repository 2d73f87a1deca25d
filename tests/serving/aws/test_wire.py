"""boto3's clients ask a real server: what is served, what is not, and what is no operation."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.serving.aws.conftest import ACCOUNT, WireClient
from tests.serving.conftest import Running


def test_the_account_is_that_of_the_keys(wire_client: WireClient) -> None:
    found = wire_client("sts").get_caller_identity()

    assert found["Account"] == ACCOUNT
    assert found["Arn"].startswith(f"arn:aws:iam::{ACCOUNT}:user/")
    assert found["ResponseMetadata"]["RequestId"]


def test_an_operation_that_is_not_served_says_so_at_once(wire_client: WireClient) -> None:
    with pytest.raises(ClientError) as caught:
        wire_client("sagemaker").create_notebook_instance(
            NotebookInstanceName="n", InstanceType="ml.t3.medium", RoleArn="arn:aws:iam::1:role/r"
        )

    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert "does not serve CreateNotebookInstance" in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_an_operation_that_does_not_exist_is_unknown(wire_server: Running) -> None:
    headers = {"x-amz-target": "SageMaker.CreateMoon", "content-type": "application/x-amz-json-1.1"}

    answer = wire_server.client.post("/", content="{}", headers=headers)

    assert answer.status_code == 400
    assert answer.json()["__type"].endswith("#UnknownOperationException")


def test_what_is_not_of_aws_is_answered_as_ever(wire_server: Running) -> None:
    assert wire_server.client.get("/healthz").json()["status"] == "ok"
    assert wire_server.client.get("/api/v1/installation").status_code == 200


def test_a_form_that_any_page_can_send_changes_nothing(wire_server: Running) -> None:
    form = {"Action": "CreateTopic", "Version": "2010-03-31", "Name": "forged"}
    asked = {"Action": "ListTopics", "Version": "2010-03-31"}

    forged = wire_server.client.post("/", data=form)
    listed = wire_server.client.post("/", data=asked, headers={"amz-sdk-invocation-id": "1"})

    assert (forged.status_code, "MissingAuthenticationToken" in forged.text) == (403, True)
    assert (listed.status_code, "forged" in listed.text) == (200, False)


def test_a_link_to_a_page_leads_there_whatever_is_behind_it(wire_server: Running) -> None:
    query = {"X-Amz-Credential": "AKIA/20261130/eu-west-1/s3/aws4_request"}

    page = wire_server.client.get("/docs", params=query)

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
