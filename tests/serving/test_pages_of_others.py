"""What a web page of another site, open in a user's browser, can send to the server."""

import json

import pytest

DATUM = {"Namespace": "planted", "MetricData": [{"MetricName": "orders", "Value": 3}]}
ROUTES = [
    ("POST", "/api/v1/metrics", json.dumps(DATUM)),
    ("POST", "/v1/cloudevents", "{}"),
    ("POST", "/api/v1/apply", "{}"),
    ("POST", "/api/v1/alarms/actions", "{}"),
    ("POST", "/api/v1/monitors/quality/run", ""),
    ("POST", "/api/v1/silences/mine/expire", ""),
    ("DELETE", "/api/v1/alarms/mine", ""),
]
FORMS = ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "Multipart/Form-Data"]


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("others")) as found:
        yield found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_form_is_no_request(server, method, path, body, form):
    headers = {"content-type": form}
    answer = server.client.request(method, path, content=body, headers=headers)

    assert answer.status_code == 415, answer.text
    assert "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path", "body"), [one for one in ROUTES if one[2]])
def test_a_body_of_no_type_is_no_request(server, method, path, body):
    """A page sends one as a Blob without a type."""
    answer = server.client.request(method, path, content=body)

    assert "content-type" not in answer.request.headers
    assert answer.status_code == 415, answer.text
    assert "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "sender",
    [
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "body"), [*ROUTES, ("POST", "/endpoints/flights/invocations", "1,2")]
)
def test_a_page_of_others_is_refused_whatever_it_sends(server, method, path, body, sender):
    headers = {"content-type": "application/json", **sender}
    answer = server.client.request(method, path, content=body, headers=headers)

    assert answer.status_code == 403, answer.text
