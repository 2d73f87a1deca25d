"""Signed requests to a server that asks who asks: boto3 as it is, and what attackers change."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import botocore
import httpx
import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography.fernet import Fernet

from driftline.access.authentication import Authenticator, Gate
from driftline.access.credentials import register_token
from driftline.access.principal import CURRENT
from driftline.access.signature import CREDENTIAL_KEY, read_signature, signing_key
from driftline.alerts.notify.secrets import Vault
from driftline.app.cli import build
from driftline.app.client.client import Client
from driftline.loopback import Message, Receive, Scope, Send
from driftline.serving.aws.signing import SignedRequests, refuse_unsigned
from driftline.serving.http.responses import read_body
from driftline.serving.resources import store
from driftline.serving.resources.specs import MonitorSpec
from driftline.storage import use_options
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import Running, running
from tests.serving.guarded import FILE_SECRET, bearer

VAULT = Vault(Fernet.generate_key().decode())
Pair = tuple[str, str]


class Clock:
    """The real time, by which botocore signs; a test may advance it."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


CLOCK = Clock()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run a server that asks who asks."""
    folder = tmp_path_factory.mktemp("signing")
    url = new_sqlite(folder)
    engine = open_url(url)
    with engine.begin() as connection:
        register_token(connection, FILE_SECRET, now=CLOCK(), created_by="test")
    asked = Authenticator(engine, CLOCK, unseal=VAULT.unseal)
    with running(folder, database=url, authenticator=asked, vault=VAULT, now=CLOCK) as found:
        use_options({}, found.context.settings.buckets_dir)  # As the server's process does.
        yield found
        use_options({})
    engine.dispose()


@pytest.fixture(scope="module")
def admin(server: Running) -> Iterator[Client]:
    with Client(server.url, token=FILE_SECRET) as found:
        yield found


@pytest.fixture(scope="module")
def make(admin: Client) -> Callable[..., Pair]:
    """Return what makes an access key: its id and secret."""

    def new(name: str, *roles: Any, **more: Any) -> Pair:
        found = admin.create_access_key(name, list(roles), **more)
        return found["access_key_id"], found["secret_access_key"]

    return new


@pytest.fixture(scope="module")
def key(make: Callable[..., Pair]) -> Pair:
    return make("boto", "admin")


def client_of(server: Running, service: str, pair: Pair, token: str | None = None) -> Any:
    return boto3.client(
        service, endpoint_url=server.url, region_name="eu-west-1", aws_access_key_id=pair[0],
        aws_secret_access_key=pair[1], aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


def refused(ask: Callable[..., Any], **given: Any) -> tuple[str, int]:
    """Return the code and the status of what is refused."""
    with pytest.raises(ClientError) as told:
        ask(**given)
    answer = told.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_key_does_what_its_role_and_endpoints_allow(
    server: Running, make: Callable[..., Pair]
) -> None:
    narrow = make("narrow", "invoke", endpoints=["flights"])
    runtime = client_of(server, "sagemaker-runtime", narrow)
    reader = client_of(server, "sagemaker-runtime", make("reader", "viewer"))

    def ask(client: Any, name: str) -> tuple[str, int]:
        asked = {"EndpointName": name, "Body": b"1", "ContentType": "text/csv", "Accept": "a/b"}
        found = refused(client.invoke_endpoint, **asked)
        assert refused(client.invoke_endpoint_with_response_stream, **asked) == found
        return found

    assert ask(runtime, "flights") == ("ValidationError", 404)
    assert ask(runtime, "churn") == ("AccessDeniedException", 403)
    assert ask(reader, "flights") == ("AccessDeniedException", 403)


def test_an_operation_of_aws_is_done_and_noted_as_the_key_s(
    server: Running, admin: Client, make: Callable[..., Pair]
) -> None:
    reader = client_of(server, "sagemaker", make("watcher", "viewer"))
    model = "arn:aws:sagemaker:eu-west-1:000000000000:model/a"
    tagged = {"ResourceArn": model, "Tags": [{"Key": "a", "Value": "b"}]}

    assert reader.list_models()["Models"] == []
    assert refused(reader.add_tags, **tagged) == ("AccessDeniedException", 400)
    noted = [one for one in admin.audit() if one["subject"] == "watcher"]
    assert [(one["via"], one["status"]) for one in noted] == [("access-key", 403)]


@pytest.mark.parametrize("given", [("invoke", ["flights"]), ("operator", None), ("admin", ["a"])])
def test_nothing_is_read_for_who_may_not_declare(
    server: Running, admin: Client, make: Callable[..., Pair], given: tuple[str, list[str] | None]
) -> None:
    """Whether a file or a schedule is there, and what is in it, is not theirs to learn."""
    role, endpoints = given
    name = f"monitor-{role}"
    client = client_of(server, "sagemaker", make(name, role, endpoints=endpoints))
    about = {
        "EndpointInput": {"EndpointName": "flights", "LocalPath": "/opt/ml/processing/input"},
        "GroundTruthS3Input": {"S3Uri": "s3://mybucket/truth"},
    }
    output = {"S3Uri": "s3://mybucket/out", "LocalPath": "/opt/ml/processing/output"}
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
    definition = {
        "JobDefinitionName": "bias",
        "ModelBiasAppSpecification": {
            "ImageUri": "sagemaker-clarify-processing", "ConfigUri": "s3://none/config.json",
        },
        "ModelBiasJobInput": about,
        "ModelBiasJobOutputConfig": {"MonitoringOutputs": [{"S3Output": output}]},
        "JobResources": {"ClusterConfig": cluster},
        "RoleArn": "arn:aws:iam::123456789012:role/monitor",
    }  # fmt: skip
    schedule = {
        "MonitoringScheduleName": "none",
        "MonitoringScheduleConfig": {
            "MonitoringJobDefinitionName": "none", "MonitoringType": "DataQuality",
        },
    }  # fmt: skip

    for ask, asked in (
        (client.create_model_bias_job_definition, definition),
        (client.create_monitoring_schedule, schedule),
        (client.update_monitoring_schedule, schedule),
    ):
        assert refused(ask, **asked) == ("AccessDeniedException", 400)

    noted = {(one["action"], one["status"]) for one in admin.audit() if one["subject"] == name}
    assert noted == {("POST /api/v1/apply", 403)}


def test_why_a_schedule_failed_is_shown_to_those_who_may_see_rows(
    server: Running, make: Callable[..., Pair]
) -> None:
    spec = MonitorSpec.model_validate({
        "kind": "data-quality", "endpoint": "e", "baseline": "b", "schedule": "external",
    })  # fmt: skip
    row = store.Stored("Monitor", "broken", None, {}, spec.model_dump(mode="json"), {})
    with server.engine.begin() as connection:
        store.put_row(connection, row, CLOCK())
        store.write(connection, row, phase="Failed", reason="row 4111", observed_generation=1)

    def reason(role: str) -> str:
        client = client_of(server, "sagemaker", make(f"asks-{role}", role))
        found = client.describe_monitoring_schedule(MonitoringScheduleName="broken")
        return str(found["FailureReason"])

    assert reason("analyst") == "row 4111"
    assert reason("viewer").startswith("not shown")
    with server.engine.begin() as connection:
        store.delete_row(connection, "Monitor", "broken")


@pytest.mark.parametrize(
    ("service", "operation", "codes"),
    [
        ("sts", "get_caller_identity",
         ("InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken")),
        ("cloudwatch", "list_metrics",
         ("UnrecognizedClientException", "InvalidSignatureException",
          "MissingAuthenticationTokenException")),
        ("sagemaker", "list_models",
         ("UnrecognizedClientException", "InvalidSignatureException",
          "MissingAuthenticationTokenException")),
        ("s3", "list_buckets", ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied")),
    ],
)  # fmt: skip
def test_strangers_are_refused_in_the_words_of_their_protocol(
    server: Running, key: Pair, service: str, operation: str, codes: tuple[str, ...]
) -> None:
    def ask(client: Any) -> tuple[str, int]:
        return refused(getattr(client, operation))

    strange = client_of(server, service, ("AKIA0000000000000000", key[1]))
    wrong = client_of(server, service, (key[0], key[1][::-1]))
    nobody = boto3.client(
        service, endpoint_url=server.url, region_name="eu-west-1",
        config=Config(signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}),
    )  # fmt: skip

    assert [ask(one) for one in (strange, wrong, nobody)] == [(code, 403) for code in codes]
    # A session of AWS's is none of ours, and not ignored.
    assert ask(client_of(server, service, key, "session")) == (codes[0], 403)


def test_a_wrong_signature_of_an_invocation_is_told_as_such(server: Running, key: Pair) -> None:
    runtime = client_of(server, "sagemaker-runtime", (key[0], "x" * 40))

    asked = {"EndpointName": "a", "Body": b"1\n", "ContentType": "text/csv"}
    assert refused(runtime.invoke_endpoint, **asked) == ("InvalidSignatureException", 403)
    assert refused(runtime.invoke_endpoint_async, EndpointName="a", InputLocation="s3://a/b") == (
        "InvalidSignatureException", 403,
    )  # fmt: skip


def test_a_key_ends_at_its_time_or_when_it_is_revoked(
    server: Running, admin: Client, make: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = make("short", "viewer", expires_at=CLOCK() + timedelta(minutes=2))
    long = make("long", "viewer")
    for pair in (short, long):
        client_of(server, "sts", pair).get_caller_identity()

    monkeypatch.setattr(CLOCK, "ahead", timedelta(minutes=3))
    assert refused(client_of(server, "sts", short).get_caller_identity) == ("ExpiredToken", 403)
    admin.revoke_access_key("long")
    server.context.authenticator.forget()  # As it does by itself some seconds later.
    assert refused(client_of(server, "sts", long).get_caller_identity) == (
        "InvalidClientTokenId", 403,
    )  # fmt: skip


def test_no_secret_is_listed_audited_or_logged(
    server: Running, admin: Client, make: Callable[..., Pair], caplog: pytest.LogCaptureFixture
) -> None:
    key_id, secret = make("quiet", "viewer")
    sts = client_of(server, "sts", (key_id, secret))
    caplog.set_level("DEBUG", "driftline")
    sts.get_caller_identity()
    refused(client_of(server, "sts", (key_id, secret[::-1])).get_caller_identity)
    admin.revoke_access_key("quiet")
    noted = [one for one in admin.audit() if one["target"] == "AccessKey/quiet"]

    assert [one["action"] for one in noted] == ["delete", "create"]
    assert {one["name"] for one in admin.access_keys()} >= {"quiet"}
    shown = f"{noted}{list(admin.access_keys())}{caplog.text}"
    assert secret not in shown
    assert secret[::-1] not in shown


def sign(
    pair: Pair, method: str, url: str, *, service: str = "sagemaker", body: bytes = b"",
    headers: dict[str, str] | None = None, signer: Any = auth.SigV4Auth,
) -> httpx.Request:  # fmt: skip
    """Return a request as botocore signs it."""
    request = AWSRequest(method, url, headers or {}, body)
    signer(Credentials(*pair), service, "eu-west-1").add_auth(request)
    found = {
        name: one.decode() if isinstance(one, bytes) else one
        for name, one in request.headers.items()
    }
    return httpx.Request(method, request.url, headers=found, content=body)


def test_other_routes_take_signatures_too(server: Running, key: Pair) -> None:
    url = f"{server.url}/api/v1/whoami"
    presigned = sign(key, "GET", url, signer=auth.SigV4QueryAuth)

    answers = [server.client.send(one) for one in (sign(key, "GET", url), presigned)]
    assert [one.json()["subject"] for one in answers] == ["boto", "boto"]
    assert answers[0].json()["via"] == "access-key"
    # What a caller may not reach is as hidden as from those without a token.
    wrong = server.client.send(sign((key[0], "x"), "GET", url))
    assert (wrong.status_code, server.error_of(wrong)["code"]) == (403, "forbidden")
    assert httpx.get(url, headers=bearer(FILE_SECRET)).status_code == 200


@pytest.mark.parametrize("service", ["s3", "monitoring"])
def test_a_signature_for_another_service_asks_nothing_here(
    server: Running, key: Pair, service: str
) -> None:
    target = {
        "x-amz-target": "SageMaker.ListModels", "content-type": "application/x-amz-json-1.1",
    }  # fmt: skip
    wire = sign(key, "POST", f"{server.url}/", service=service, body=b"{}", headers=target)
    invocation = sign(
        key, "POST", f"{server.url}/endpoints/a/invocations", service=service, body=b"1",
        headers={"content-type": "text/csv"},
    )  # fmt: skip

    for one in (wire, invocation):
        answer = server.client.send(one)
        assert answer.status_code == 403
        assert answer.headers["x-amzn-errortype"] == "InvalidSignatureException"
        assert "correct service: 'sagemaker'" in answer.text


def scope_of(request: httpx.Request) -> Scope:
    """Return a request as the listener makes it."""
    return {
        "type": "http", "method": request.method, "path": request.url.path, "scheme": "http",
        "raw_path": request.url.raw_path, "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }  # fmt: skip


def chunked(pair: Pair, url: str, *parts: bytes) -> httpx.Request:
    """Return an upload as SDKs send it over http: in chunks, each of which is signed."""
    headers = {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(sum(map(len, parts))),
    }
    request = sign(pair, "PUT", url, service="s3", headers=headers)
    shown, body = read_signature(scope_of(request)), b""
    signing = signing_key(pair[1], *shown.credential.scope.split("/")[:3])
    previous = shown.signature
    for data in (*parts, b""):
        lines = (
            "AWS4-HMAC-SHA256-PAYLOAD", f"{shown.time:%Y%m%dT%H%M%SZ}", shown.credential.scope,
            previous, sha256(b"").hexdigest(), sha256(data).hexdigest(),
        )  # fmt: skip
        previous = hmac.new(signing, "\n".join(lines).encode(), sha256).hexdigest()
        body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), previous.encode(), data)
    kept = {name: one for name, one in request.headers.items() if name != "content-length"}
    return httpx.Request("PUT", url, headers=kept, content=body)


class Behind:
    """What stands behind a gate, and keeps what it gets."""

    def __init__(self, authenticator: Authenticator, external_url: str = "") -> None:
        self.got: list[tuple[Scope, bytes, str]] = []
        signed = SignedRequests(
            authenticator, limit=1 << 20, body_timeout_s=1, external_url=external_url
        )
        self.gate = Gate(self._keep, authenticator, (), refuse_unsigned, signed)

    async def _keep(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, limit=1 << 20, timeout_s=1)
        self.got.append((scope, body, CURRENT.get().subject))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def ask(self, request: httpx.Request, *parts: bytes) -> int:
        """Return the status of an answer; ``parts``: the body as it comes."""
        sent: list[Message] = []
        coming = [{"body": part, "more_body": True} for part in parts or (request.content,)]
        coming[-1]["more_body"] = False

        async def receive() -> Message:
            return {"type": "http.request", **coming.pop(0)}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.gate(scope_of(request), receive, send))
        status: int = sent[0]["status"]
        return status


def unsigned_chunks(pair: Pair, url: str) -> tuple[httpx.Request, bytes]:
    """Return an upload as SDKs send it over https: in chunks, with a checksum behind it."""
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": "3",
        "content-encoding": "aws-chunked",
    }  # fmt: skip
    request = AWSRequest("PUT", url, headers)
    auth.SigV4Auth(Credentials(*pair), "s3", "eu-west-1").add_auth(request)
    body = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
    return httpx.Request("PUT", url, headers=dict(request.headers)), body


@pytest.fixture
def authenticator(server: Running) -> Authenticator:
    """Return one that knows what the server knows."""
    return Authenticator(server.engine, CLOCK, unseal=VAULT.unseal)


def test_the_body_is_handed_on_whole_and_the_secrets_are_not(
    authenticator: Authenticator, key: Pair
) -> None:
    behind, url = Behind(authenticator), "http://localhost:8080/endpoints/a/invocations"
    request = sign(key, "POST", url, body=b"1,2\n3,4\n")

    assert behind.ask(request, b"1,2\n", b"3,4\n") == 200
    assert behind.ask(request, b"1,2\n", b"3,5\n") == 403
    assert behind.ask(request, b"x" * (2 << 20)) == 413
    (scope, body, subject), *others = behind.got
    assert (body, subject, others) == (b"1,2\n3,4\n", "boto", [])
    credential = scope[CREDENTIAL_KEY]
    assert (credential.region, credential.service) == ("eu-west-1", "sagemaker")
    assert b"authorization" not in dict(scope["headers"])


def test_unsigned_chunks_are_for_https_and_their_reader(
    authenticator: Authenticator, key: Pair
) -> None:
    request, body = unsigned_chunks(key, "http://localhost:8080/bucket/object")
    private = Behind(authenticator, "https://drift.example.org")

    assert Behind(authenticator).ask(request, body) == 400
    assert private.ask(request, body) == 200
    ((scope, content, _),) = private.got
    assert content == body
    assert dict(scope["headers"])[b"content-encoding"] == b"aws-chunked"


def test_objects_of_s3_are_stored_as_they_were_signed(
    server: Running, key: Pair, make: Callable[..., Pair]
) -> None:
    s3, url = client_of(server, "s3", key), f"{server.url}/shop/rows.csv"
    s3.create_bucket(Bucket="shop")
    s3.put_object(Bucket="shop", Key="rows.csv", Body=b"1,2\n")
    good = sign(key, "PUT", url, service="s3", body=b"1,2\n", signer=auth.S3SigV4Auth)
    altered = server.client.send(httpx.Request("PUT", url, headers=good.headers, content=b"9,9\n"))
    assert (altered.status_code, "XAmzContentSHA256Mismatch" in altered.text) == (400, True)
    assert s3.get_object(Bucket="shop", Key="rows.csv")["Body"].read() == b"1,2\n"

    sent = chunked(key, url, b"3,4\n" * 4096, b"5,6\n")
    body = sent.content.replace(b"5,6", b"9,9")
    altered = server.client.send(httpx.Request("PUT", url, headers=sent.headers, content=body))
    assert (altered.status_code, "SignatureDoesNotMatch" in altered.text) == (403, True)
    assert s3.get_object(Bucket="shop", Key="rows.csv")["Body"].read() == b"1,2\n"
    assert server.client.send(sent).status_code == 200
    presigning = boto3.client(
        "s3", endpoint_url=server.url, region_name="eu-west-1", aws_access_key_id=key[0],
        aws_secret_access_key=key[1], config=Config(signature_version="s3v4"),
    )  # fmt: skip
    asked = {"Bucket": "shop", "Key": "rows.csv"}
    presigned = presigning.generate_presigned_url("get_object", asked)
    assert httpx.get(presigned).content == b"3,4\n" * 4096 + b"5,6\n"
    assert httpx.get(presigned.replace("rows", "rovs")).status_code == 403
    stranger = client_of(server, "s3", make("s3reader", "invoke"))
    assert refused(stranger.get_object, **asked) == ("AccessDenied", 403)


def test_signed_chunks_may_be_more_than_any_other_body(server: Running, key: Pair) -> None:
    client_of(server, "s3", key).create_bucket(Bucket="large")
    size = server.context.settings.serving.max_request_bytes + 1
    sent = chunked(key, f"{server.url}/large/rows", bytes(size))

    assert server.client.send(sent).status_code == 200
    assert (server.root / "s3/large/rows").stat().st_size == size


def test_a_presigned_url_hands_on_no_signature(authenticator: Authenticator, key: Pair) -> None:
    url = "http://localhost:8080/bucket/object?versionId=3"
    request = sign(key, "PUT", url, service="s3", signer=auth.S3SigV4QueryAuth)
    behind = Behind(authenticator)

    assert behind.ask(request, b"whatever") == 200
    ((scope, body, _),) = behind.got
    assert (scope["query_string"], body) == (b"versionId=3", b"whatever")


def test_the_command_prints_what_clients_of_aws_read(
    server: Running,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRIFTLINE_AUTH__TOKEN", FILE_SECRET)
    words = ["access-key", "create", "nightly", "--role", "admin", "--server", server.url]
    with pytest.raises(SystemExit) as end:
        build("access-key")(words)

    assert not end.value.code
    out, talk = capsys.readouterr()
    pairs = dict(line.split("=") for line in out.split())
    assert [*pairs] == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    assert pairs["AWS_SECRET_ACCESS_KEY"] not in talk
    found = client_of(server, "sts", (pairs["AWS_ACCESS_KEY_ID"], pairs["AWS_SECRET_ACCESS_KEY"]))
    assert found.get_caller_identity()["UserId"] == "nightly"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_no_operation_is_done_on_a_path_that_is_anybodys(server: Running, path: str) -> None:
    headers = {"x-amz-target": "SageMaker.ListModels", "content-type": "application/x-amz-json-1.1"}

    answer = httpx.post(f"{server.url}{path}", headers=headers, content=b"{}")

    assert answer.status_code == 405
