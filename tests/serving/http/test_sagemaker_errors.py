"""Errors of invocations as botocore reads them, whose rules stand here: it is no dependency."""

import asyncio
import json

import httpx
import pytest

from driftline.loopback import refuse
from driftline.serving.http.sagemaker_errors import SageMakerErrors, with_original
from tests.serving.conftest import resource
from tests.serving.hosting.formats.archives import pack

MODEL_ERROR = {"Message", "OriginalStatusCode", "OriginalMessage", "LogStreamArn"}
CODE = """
class Refused(Exception):
    status_code = 422

def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    if body == b"split":
        return b"1", "text/csv\\r\\nx-injected: 1"
    raise Refused("no odd rows") if body == b"odd" else ValueError("no such airport")
"""


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


def test_a_server_answers_so(start, tmp_path):
    model = pack(tmp_path / "model.tar.gz", {"code/inference.py": CODE})
    with start(tmp_path, trust_pickle=True) as server:
        applied = server.apply(
            resource("Model", "odd", path=str(model)), resource("Endpoint", "odd", model="odd")
        )
        assert applied.status_code == 200, applied.text
        unknown, raised, odd = (
            read(server.invoke(name, body, content_type="text/plain"))
            for name, body in (("nobody", "1"), ("odd", "1"), ("odd", "odd"))
        )
        split = server.invoke("odd", "split", content_type="text/plain")
        later = read(server.client.post("/endpoints/odd/async-invocations", content=b"1"))
        by_get = read(server.client.get("/endpoints/odd/invocations"))

    assert unknown[0] == by_get[0] == later[0] == "ValidationError"
    assert unknown[1].startswith('endpoint "nobody" does not exist')
    assert (raised[0], raised[2]["OriginalStatusCode"]) == ("ModelError", 500)
    assert raised[2]["OriginalMessage"] == "no such airport"
    assert (odd[0], odd[2]["OriginalStatusCode"]) == ("ModelError", 422)
    assert "" not in (later[1], by_get[1])
    # A content type that is no header is the model's fault.
    assert (split.status_code, "x-injected" in split.headers) == (424, False)
