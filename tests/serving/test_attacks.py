"""Attacks on a server with access on, each a line of a table: what is sent, and what is answered.

Heads without an end are in tests/driftline/app/test_listener.py, what has expired or was revoked in
tests/driftline/access/, attacks on the dashboard's log-in in tests/dashboard/test_login.py.
"""

import contextlib
import gzip
import json
import socket
import tempfile
from pathlib import Path

import pytest

from driftline.access.tokens import digest_of
from driftline.serving.resources.reach import Reach
from tests.serving.conftest import resource
from tests.serving.guarded import FILE_SECRET, PROXY_SECRET, bearer, guarded

ADMIN = f"Host: 127.0.0.1\r\nAuthorization: Bearer {FILE_SECRET}\r\nConnection: close\r\n"
# As a folder that holds the access token, channels.key and the like is named to the server.
OWN = Path(tempfile.gettempdir(), "driftline-own")
OWN_SECRET = OWN / "access.token"
CLOSED = 0
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    reach, programs = Reach(secrets=(OWN,)), str(tmp_path_factory.mktemp("programs"))
    folders = {"scripts_dir": programs, "commands_dir": programs}
    with guarded(tmp_path_factory.mktemp("attacks"), reach=reach, **folders) as found:
        yield found


# name of the attack → headers of a request for the list of tokens; none may be let in.
FORGED = {
    "an empty secret": {"authorization": "Bearer"},
    "another scheme": {"authorization": f"Basic {FILE_SECRET}"},
    "no scheme": {"authorization": FILE_SECRET},
    "the secret but for its last letter": bearer(FILE_SECRET[:-1]),
    "bytes that are no text": {"authorization": b"Bearer \xff\xfe"},
    "a quote for the database": bearer("' OR '1'='1"),
    "a secret of 60 kB": bearer("x" * 60_000),
    "the digest in place of the secret": bearer(digest_of(FILE_SECRET)),
    "the token as a cookie": {"cookie": f"driftline_session={FILE_SECRET}"},
    "a proxy's user without its secret": {"x-forwarded-user": "root"},
    "a proxy's user with a wrong secret": {
        "x-forwarded-user": "root", "x-driftline-proxy-secret": "q" * 43,
    },
    "the proxy's secret without a user": {"x-driftline-proxy-secret": PROXY_SECRET},
    "the proxy's secret as a token": bearer(PROXY_SECRET),
}  # fmt: skip


@pytest.mark.parametrize("attack", FORGED)
def test_a_forged_secret_lets_nobody_in(server, attack):
    answer = server.client.get("/api/v1/tokens", headers=FORGED[attack])

    assert answer.status_code in (401, 431), answer.text


# name of the attack → headers added to those of an admin; the answer must be 403.
FROM_ELSEWHERE = {
    "another host": {"host": "rebound.example:8080"},
    "a host that ends with ours": {"host": "evil.drift.example.org"},
    "a page of another origin": {"origin": "https://evil.example"},
    "a page of another port": {"origin": "http://127.0.0.1:3000"},
    "a page of the same site": {"sec-fetch-site": "same-site"},
    "a page of another site": {"sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize("attack", FROM_ELSEWHERE)
def test_a_page_or_host_of_others_is_refused_even_with_a_token(server, attack):
    headers = {**bearer(FILE_SECRET), **FROM_ELSEWHERE[attack]}

    assert server.client.get("/api/v1/tokens", headers=headers).status_code == 403


def lines(*said):
    """Return a request's head, with an admin's token."""
    return ("\r\n".join((*said, ADMIN)) + "\r\n").encode()


# name of the attack → bytes on a connection, and the answers that are right.
RAW = {
    "a path that climbs": (lines("GET /api/v1/../../../etc/passwd HTTP/1.1"), {400, 404}),
    "a path that climbs, encoded": (
        lines("GET /api/v1/monitors/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1"),
        {404},
    ),
    "a path that climbs, encoded twice": (
        lines("GET /api/v1/monitors/%252e%252e%252fetc%252fpasswd HTTP/1.1"),
        {404},
    ),
    "a path that climbs out of the pages": (lines("GET /ui/..%2f..%2fetc/passwd HTTP/1.1"), {307}),
    "a name with a zero byte": (lines("GET /api/v1/monitors/a%00b HTTP/1.1"), {400, 404}),
    "a name that is no UTF-8": (lines("GET /api/v1/monitors/%ff%fe HTTP/1.1"), {400, 404}),
    "a name of 10 kB": (lines(f"GET /api/v1/monitors/{'a' * 10_000} HTTP/1.1"), {400, 404, 414}),
    "a whole address in place of a path": (lines("GET http://evil.example/ HTTP/1.1"), {400, 404}),
    "a new line in the path": (lines("GET /ui/%0d%0aSet-Cookie:%20a=b HTTP/1.1"), {307, 404}),
    "two lengths": (
        lines("POST /api/v1/apply HTTP/1.1", "Content-Length: 2", "Content-Length: 3") + b"{}",
        {400},
    ),
    "a length beyond every disk": (
        lines("POST /endpoints/x/invocations HTTP/1.1", "Content-Length: 10000000000000"),
        {404, 413},
    ),
    "a chunk without a length": (
        lines("POST /api/v1/apply HTTP/1.1", "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n",
        {CLOSED, 400},
    ),
    "a header without a name": (lines("GET /api/v1/alarms HTTP/1.1", ": x"), {400}),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "a method to reach others": (lines("CONNECT evil.example:443 HTTP/1.1"), {400, 404, 405}),
}


@pytest.mark.parametrize("attack", RAW)
def test_odd_bytes_are_refused(server, attack):
    sent, statuses = RAW[attack]
    with socket.create_connection(server.url.removeprefix("http://").split(":")) as connection:
        connection.settimeout(20)
        answer = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert int(answer.split(b" ", 2)[1] if answer else CLOSED) in statuses, answer[:300]
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"set-cookie" not in head
    assert b"evil.example" not in head
    assert b"root:" not in answer
    assert b"Traceback" not in answer
    assert server.client.get("/healthz").status_code == 200


def declared(kind, name="x", /, **spec):
    return "POST /api/v1/apply", json.dumps({"resources": [resource(kind, name, **spec)]})


WATCH = {"endpoint": "flights", "baseline": "b"}
# name of the attack → what an admin asks, with which body; refused in one sentence.
ASKED = {
    "data of another's secrets": declared("Baseline", data="/etc/shadow"),
    "data that climb": declared("Baseline", data="../../../etc/shadow"),
    "a model of another's secrets": declared("Model", path="/etc/shadow"),
    "a script that climbs": declared("Monitor", **WATCH, preprocess="../../x.py"),
    "a script by its path": declared("Monitor", **WATCH, postprocess="/etc/passwd"),
    "a rule's script that climbs": declared("Monitor", **WATCH, rules=[{"check": "../x.py:f"}]),
    "a program that climbs": declared("Monitor", kind="command", command=["../../bin/sh"], **WATCH),
    "a program by its path": declared("Monitor", kind="command", command=["/bin/sh"], **WATCH),
    "a message to a cloud's secrets": declared(
        "Channel", type="webhook", url="http://169.254.169.254/latest/meta-data/"
    ),
    "a message to ourselves": declared("Channel", type="webhook", url="http://127.0.0.1:1/x"),
    "a name that climbs": declared("Monitor", "../x", **WATCH),
    "a body nested 100,000 deep": ("POST /api/v1/apply", DEEP),
    "a number of a million digits": ("POST /api/v1/alarms/replay", f'{{"alarm": {"9" * 10**6}}}'),
    "a number that JSON does not have": declared("Alarm", threshold=float("nan")),
    "a replay of two hundred years": (
        "POST /api/v1/alarms/replay",
        json.dumps({
            "alarm": {
                "AlarmName": "a", "Namespace": "n", "MetricName": "m", "Statistic": "Sum",
                "Period": 60, "EvaluationPeriods": 1, "Threshold": 1,
                "ComparisonOperator": "GreaterThanThreshold",
            },
            "datapoints": [], "start": "1970-01-02T00:00:00Z", "end": "2198-01-01T00:00:00Z",
        }),
    ),
    "a page of all there is": ("GET /api/v1/alarms?limit=1000000000000000000000", None),
    "an expression that never ends": (
        "POST /api/v1/capture/erasures",
        json.dumps({"endpoint": "flights", "where": "(" * 20_000 + "x = 1" + ")" * 20_000}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ASKED)
def test_not_even_an_admin_is_given_what_reaches_beyond(server, attack):
    action, body = ASKED[attack]
    method, _, path = action.partition(" ")
    headers = {**bearer(FILE_SECRET), "content-type": "application/json"}

    answer = server.client.request(method, path, content=body, headers=headers)

    assert answer.status_code in (400, 413, 415, 422), answer.text
    assert 0 < len(server.error_of(answer)["message"]) < 2_000
    assert "root:" not in answer.text
    assert server.client.get("/api/v1/monitors", headers=headers).json()["items"] == []


@pytest.fixture(scope="module")
def bomb():
    return gzip.compress(bytes(100 << 20), 1)


@pytest.mark.parametrize("path", ["/api/v1/apply", "/v1/cloudevents", "/api/v1/metrics"])
def test_a_compressed_body_is_not_unpacked_without_end(server, bomb, path):
    headers = {
        **bearer(FILE_SECRET), "content-type": "application/json", "content-encoding": "gzip",
    }  # fmt: skip

    answer = server.client.post(path, content=bomb, headers=headers)

    assert answer.status_code in (400, 413, 415), answer.text


@pytest.fixture(scope="module")
def unguarded(start, tmp_path_factory):
    """A server that asks for no token: a page in its user's browser can reach it, too."""
    with start(tmp_path_factory.mktemp("unguarded")) as found:
        yield found


JSON = "application/json"
PAGES = [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}]
FORMS = ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "Multipart/Form-Data"]


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("POST /api/v1/metrics", '{"Namespace": "n"}'),
        ("POST /v1/cloudevents", "{}"),
        ("POST /api/v1/apply", "{}"),
        ("POST /api/v1/alarms/actions", "{}"),
        ("POST /api/v1/monitors/quality/run", ""),
        ("POST /api/v1/silences/mine/expire", ""),
        ("DELETE /api/v1/alarms/mine", ""),
        ("POST /endpoints/flights/invocations", ""),
    ],
)
def test_a_page_of_another_site_changes_nothing_without_access_control(unguarded, action, body):
    def ask(**headers):
        return unguarded.client.request(*action.split(), content=body, headers=headers)

    assert {ask(**{"content-type": JSON}, **page).status_code for page in PAGES} == {403}
    if "invocations" not in action:  # Of an invocation, any type is the model's.
        posted = [ask(**{"content-type": form}) for form in FORMS]
        posted += [ask()] if body else []  # As of a Blob without a type.
        assert {answer.status_code for answer in posted} == {415}
        assert all(JSON in unguarded.error_of(answer)["message"] for answer in posted)
