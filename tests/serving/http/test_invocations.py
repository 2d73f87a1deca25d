import gzip
import socket
import zlib
from urllib.parse import urlsplit

import pytest

LIMIT = 100_000
MAX_ROWS = 2000


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    limits = {"max_request_bytes": LIMIT, "max_request_rows": MAX_ROWS}
    with start(folder, timeout_s=20, body_timeout_s=2, **limits) as found:
        answer = found.apply(*trained.flights(trust_event_time=True))
        assert answer.status_code == 200, answer.text
        assert answer.json()["endpoints"]["flights"]["state"] == "InService"
        yield found


def test_a_packed_body_is_answered_and_captured_as_any_other(server):
    rows = "temp,carrier,origin,distance\n39.02,UA,EWR,1400\n"
    plain = server.invoke("flights", "UA,EWR,1400,39.02")

    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        answer = server.invoke("flights", pack(rows.encode()), content_encoding=encoding)
        assert (answer.status_code, answer.text) == (200, plain.text)


@pytest.mark.parametrize(
    ("body", "headers", "status", "sentence"),
    [
        ("UA,EWR,far,39", {}, 400, 'row 1, column "distance": "far" is not a number'),
        ("UA,EWR", {}, 400, "row 1 has 2 values; expected 4"),
        ("", {}, 400, "empty"),
        ("{", {"content_type": "application/json"}, 400, "not JSON"),
        ("x", {"content_type": "text/plain"}, 415, "expected text/csv"),
        ("x", {"content_type": ""}, 415, "expected text/csv"),
        ("x", {"content_encoding": "compress"}, 415, "expected gzip, deflate, zstd, br or none"),
        ("x", {"content_encoding": "gzip"}, 400, "the body cannot be unpacked"),
        (gzip.compress(b"1" * (LIMIT + 1)), {"content_encoding": "gzip"}, 413, f"to {LIMIT + 1} b"),
        (
            gzip.compress(b"1" * (2 << 20)),
            {"content_encoding": "gzip"},
            413,
            "to more than 1048576",
        ),
        ("x", {"accept": "text/html"}, 406, "expected text/csv"),
        ("x", {"x_driftline_event_time": "yesterday"}, 400, "expected a time with zone"),
        ("x", {"x_amzn_sagemaker_enable_explanations": "`true`"}, 400, "EnableExplanations is not"),
        ("x", {"x_amzn_sagemaker_session_id": "NEW_SESSION"}, 400, "SessionId is not supported"),
        ("x" * (LIMIT + 1), {}, 413, str(LIMIT)),
        ("UA,EWR,1400,39.02\n" * (MAX_ROWS + 1), {}, 413, f"more than {MAX_ROWS} rows"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(server, body, headers, status, sentence):
    answer = server.invoke("flights", body, **headers)

    assert answer.status_code == status
    assert sentence in server.error_of(answer)["message"]
    assert answer.headers["x-amzn-requestid"]


def test_a_client_that_never_sends_its_body_is_told_so(server):
    with socket.create_connection(_address(server)) as link:
        link.sendall(
            b"POST /endpoints/flights/invocations HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: text/csv\r\nContent-Length: 10\r\n\r\nUA"
        )
        link.settimeout(20)
        answer = link.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408")


def _address(server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    return parts.hostname, parts.port
