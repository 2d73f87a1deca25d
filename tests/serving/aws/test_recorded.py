"""What AWS's own clients sent is answered so that they can read it (fixtures/serving/aws)."""

import base64
import json
import re
from functools import cache
from pathlib import Path

import botocore.session
import httpx
import pytest
from botocore.parsers import create_parser

from driftline.serving.resources.reach import Reach
from driftline.storage import use_options
from tests.servers.commands import ForkedJob
from tests.serving.aws.conftest import ACCOUNT, REGION, client_of
from tests.serving.conftest import settings_of, wait_for

RECORDED = Path(__file__).parents[2] / "fixtures" / "serving" / "aws"
SERVICES = {"monitoring": "cloudwatch"}
PROTOCOLS = {
    "application/x-amz-json-1.0": "json", "application/x-amz-json-1.1": "json",
    "application/cbor": "smithy-rpc-v2-cbor",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    """Run a server that trusts archives of models, with a bucket and processes for jobs."""
    folder = tmp_path_factory.mktemp("recorded")
    settings = settings_of(folder)
    (folder / "driftline.toml").write_text(f'[storage]\nroot = "{folder / "root"}"\n')
    use_options({}, settings.buckets_dir)

    def begin(kind, job, owner):
        return ForkedJob(folder / "driftline.toml", kind, job, owner)

    with start(folder, reach=Reach(own=(folder,)), start_job=begin, trust_pickle=True) as found:
        url = found.engine.url.render_as_string(hide_password=False)
        with (folder / "driftline.toml").open("a") as file:
            file.write(f'[serving]\ntrust_pickle = true\n[database]\nurl = "{url}"\n')
        client_of(found.url, "s3").create_bucket(Bucket="mybucket")
        yield found
    use_options({})


@cache
def model_of(service: str):
    return botocore.session.get_session().get_service_model(SERVICES.get(service, service))


def requests_of(client: str) -> list[dict]:
    return [json.loads(line) for line in (RECORDED / f"{client}.jsonl").read_text().splitlines()]


def body_of(asked: dict) -> bytes:
    if "base64" in asked:
        return base64.b64decode(asked["base64"])
    return asked.get("body", "").encode()


def send(http: httpx.Client, asked: dict) -> httpx.Response:
    scope = f"{ACCOUNT}/20261130/{REGION}/{asked['service']}/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    headers = {**asked["headers"], "authorization": signed}
    return http.request(asked["method"], asked["path"], content=body_of(asked), headers=headers)


def require_readable(asked: dict, answer: httpx.Response) -> None:
    """Read an answer as botocore does: its members by the model, or an error with its code."""
    target = asked["headers"].get("x-amz-target", "")
    by_path = re.search(r"/operation/(\w+)$", asked["path"])
    action = re.match(r"Action=(\w+)", asked.get("body", ""))
    name = by_path[1] if by_path else action[1] if action else target.rpartition(".")[2]
    if not name:
        return  # Of S3 and of invocations the bodies are the answers.
    operation = model_of(asked["service"]).operation_model(name)
    protocol = PROTOCOLS.get(asked["headers"]["content-type"], "query")
    read = create_parser(protocol).parse(
        {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content},
        operation.output_shape,
    )
    if answer.status_code >= 300:
        assert read["Error"]["Code"], answer.text
        assert read["Error"]["Message"], answer.text
    elif operation.output_shape is not None:
        assert set(operation.output_shape.required_members) <= set(read), name


@pytest.mark.parametrize("client", ["sdk2", "sdk2_script", "sdk3", "cli", "go"])
def test_recorded_requests_are_answered_as_their_client_reads_them(server, client):
    s3 = client_of(server.url, "s3")
    archive = next(one for one in requests_of("sdk2") if one["path"].endswith("/skops.tar.gz"))
    s3.put_object(Bucket="mybucket", Key="go/model.tar.gz", Body=body_of(archive))

    with httpx.Client(base_url=server.url, timeout=60) as http:
        for number, asked in enumerate(requests_of(client), 1):
            answer = send(http, asked)
            assert answer.status_code == asked["status"], (number, asked, answer.text[:500])
            require_readable(asked, answer)
            if "answer" in asked:
                assert answer.text == asked["answer"]
            if asked["headers"].get("x-amz-target") == "SageMaker.CreateProcessingJob":
                require_done(server, json.loads(asked["body"])["ProcessingJobName"])


def require_done(server, name: str) -> None:
    """Wait until a job has ended, as the client did by asking again and again."""
    found = {}

    def has_ended() -> bool:
        found.update(server.client.get(f"/api/v1/processing-jobs/{name}").json())
        return found["processing_job_status"] not in ("InProgress", "Stopping")

    wait_for(has_ended)
    assert found["processing_job_status"] == "Completed", found
