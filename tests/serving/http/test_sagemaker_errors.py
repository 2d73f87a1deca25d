"""Errors of invocations as botocore reads them, whose rules stand here: it is no dependency."""

import asyncio
import json
from datetime import timedelta

import httpx
import pytest

from driftline.loopback import refuse
from driftline.serving.http.sagemaker_errors import SageMakerErrors, with_original
from tests.serving.conftest import NOW, resource
from tests.serving.hosting.formats.archives import coded

MODEL_ERROR = {"Message", "OriginalStatusCode", "OriginalMessage", "LogStreamArn"}
# Refuses, fails or ends as the body tells it to, and hands on anything else.
CODE = """
import os

class Refused(Exception):
    def __init__(self, status_code):
        super().__init__("no odd rows")
        self.status_code = status_code

if body == "raise":
    raise ValueError("no such airport")
if body == "end":
    os._exit(3)
if body == "split":
    return "1", "text/csv\\r\\nx-injected: 1"
if body.isdigit():
    raise Refused(int(body))
return body, content_type
"""
# Requests by what the model does with them: caller's errors, server's errors.
ASKED = {"422": (1, 0), "400": (1, 0), "503": (0, 1), "raise": (0, 1), "ok": (0, 0), "end": (0, 1)}
VARIANT = {"VariantName": "AllTraffic"}
METRICS = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors")


def read(answer: httpx.Response) -> tuple[str, str, dict[str, object]]:
    """Return code, message and members of a modeled error, by botocore 1.44.5 (parsers.py)."""
    body = json.loads(answer.content)
    code = answer.headers.get("x-amzn-errortype", str(answer.status_code))
    code = code.split(":", 1)[0].rsplit("#", 1)[-1]
    message = body.get("message", body.get("Message", ""))
    members = {key: body[key] for key in MODEL_ERROR if code == "ModelError" and key in body}
    return code, message, members


def refused(status, message, path="/endpoints/flights/invocations", original=None):
    """Return the answer to a request that an app refuses, through the layer."""

    async def app(_scope, _receive, send):
        send = with_original(send, original) if original else send
        await refuse(send, status, "odd", message, [(b"x-amzn-requestid", b"7")])

    async def ask():
        through = httpx.ASGITransport(SageMakerErrors(app))
        async with httpx.AsyncClient(transport=through, base_url="http://here") as client:
            return await client.post(path, content=b"1")

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ValidationError"), (404, "ValidationError"), (413, "ValidationError"),
        (401, "AccessDeniedException"), (403, "AccessDeniedException"), (424, "ModelError"),
        (429, "ThrottlingException"), (500, "InternalFailure"), (503, "ServiceUnavailable"),
        (504, "ModelError"),
    ],
)  # fmt: skip
def test_each_status_has_a_code_and_its_sentence(status, code):
    answer = refused(status, "it is – odd")

    assert answer.status_code == status
    assert read(answer)[:2] == (code, "it is – odd")
    assert answer.json()["error"] == {"code": "odd", "message": "it is – odd"}
    assert answer.headers["x-amzn-requestid"] == "7"
    assert int(answer.headers["content-length"]) == len(answer.content)


def total(server, name, dimensions):
    asked = {
        "namespace": "AWS/SageMaker", "metric_name": name, "dimensions": dimensions, "period": 60,
        "start_time": (NOW - timedelta(hours=1)).isoformat(), "statistics": ["Sum"],
        "end_time": (NOW + timedelta(hours=1)).isoformat(),
    }  # fmt: skip
    answer = server.client.post("/api/v1/metrics/statistics", json=asked)
    return sum(datapoint["sum"] for datapoint in answer.json()["datapoints"])


def test_a_server_answers_so_and_counts_the_models_own_status(start, tmp_path):
    model = coded(tmp_path / "model.tar.gz", CODE)
    containers = [{"container_hostname": name, "model_name": "odd"} for name in ("a", "b")]
    with start(tmp_path, trust_pickle=True) as server:
        applied = server.apply(
            resource("Model", "odd", path=str(model)),
            resource("Model", "line", mode="Serial", containers=containers),
            resource("Endpoint", "alone", model="odd"),
            resource("Endpoint", "line", model="line"),
            resource("Endpoint", "other", model="odd"),
        )
        assert applied.status_code == 200, applied.text
        unknown = read(server.invoke("nobody", "1"))
        alone, _ = (
            {body: server.invoke(name, body) for body in ASKED} for name in ("alone", "line")
        )
        split = server.invoke("other", "split")
        later = read(server.client.post("/endpoints/alone/async-invocations", content=b"1"))
        by_get = read(server.client.get("/endpoints/alone/invocations"))
    # A server that stops writes the minute that is not over.
    with start(tmp_path, trust_pickle=True) as server:
        counted = [
            [total(server, name, {"EndpointName": endpoint, **VARIANT, **more}) for name in METRICS]
            for endpoint, more in (("alone", {}), ("line", {}), ("line", {"ContainerName": "a"}))
        ]

    assert unknown[0] == by_get[0] == later[0] == "ValidationError"
    assert "" not in (unknown[1], later[1], by_get[1])
    raised, odd = read(alone["raise"]), read(alone["422"])
    assert (raised[0], raised[2]["OriginalStatusCode"]) == ("ModelError", 500)
    assert raised[2]["OriginalMessage"] == "no such airport"
    assert (odd[0], odd[2]["OriginalStatusCode"]) == ("ModelError", 422)
    # A content type that is no header is the model's fault.
    assert (split.status_code, "x-injected" in split.headers) == (424, False)
    assert counted == [[len(ASKED), *map(sum, zip(*ASKED.values(), strict=True))]] * 3
