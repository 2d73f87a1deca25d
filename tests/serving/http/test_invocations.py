import gzip
import socket
import zlib

import httpx
import pytest

from tests.serving.conftest import resource, saved

LIMIT = 100_000
MAX_ROWS = 2000
GZIP, JSON = {"content_encoding": "gzip"}, {"content_type": "application/json"}


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    numbers = saved("by_position", "ByPosition", folder, ["km", "rain_mm"])
    limits = {"max_request_bytes": LIMIT, "max_request_rows": MAX_ROWS, "trust_pickle": True}
    with start(folder, timeout_s=20, body_timeout_s=2, **limits) as found:
        found.must_apply(
            *trained.flights(trust_event_time=True),
            resource("Model", "numbers", path=str(numbers)),
            resource("Endpoint", "numbers", model="numbers"),
        )
        yield found


def test_a_packed_body_is_answered_as_any_other(server):
    rows = "temp,carrier,origin,distance\n39.02,UA,EWR,1400\n"
    plain = server.invoke("flights", "UA,EWR,1400,39.02")

    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        answer = server.invoke("flights", pack(rows.encode()), content_encoding=encoding)
        assert (answer.status_code, answer.text) == (200, plain.text)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ('{"instances": [{"rain_mm": 3, "km": 10, "id": 7}]}', JSON),
        ('{"dataframe_split": {"columns": ["rain_mm", "km"], "data": [[3, 10]]}}', JSON),
        ("rain_mm,km\n3,10\n", {}),
    ],
)
def test_without_a_baseline_the_models_own_names_say_which_column_is_which(server, body, headers):
    answer = server.invoke("numbers", body, accept="text/csv", **headers)

    assert (answer.status_code, float(answer.text)) == (200, 17.0)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("UA,EWR,far,39", {}, 400),
        ("UA,EWR", {}, 400),
        ("", {}, 400),
        ("{", JSON, 400),
        ("x", {"content_type": "text/plain"}, 415),
        ("x", {"content_type": ""}, 415),
        ("x", {"content_encoding": "compress"}, 415),
        ("x", GZIP, 400),
        (gzip.compress(b"1" * (LIMIT + 1)), GZIP, 413),
        (gzip.compress(b"1" * (2 << 20)), GZIP, 413),
        ("x", {"accept": "text/html"}, 406),
        ("x", {"x_driftline_event_time": "yesterday"}, 400),
        ("x", {"x_amzn_sagemaker_enable_explanations": "`true`"}, 400),
        ("x", {"x_amzn_sagemaker_session_id": "NEW_SESSION"}, 400),
        ("x" * (LIMIT + 1), {}, 413),
        ("UA,EWR,1400,39.02\n" * (MAX_ROWS + 1), {}, 413),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(server, body, headers, status):
    answer = server.invoke("flights", body, **headers)

    assert answer.status_code == status
    server.error_of(answer)
    assert answer.headers["x-amzn-requestid"]


def test_a_client_that_never_sends_its_body_is_told_so(server):
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port)) as link:
        link.sendall(
            b"POST /endpoints/flights/invocations HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: text/csv\r\nContent-Length: 10\r\n\r\nUA"
        )
        link.settimeout(20)
        answer = link.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408")
