"""The client: names in paths, whatever they hold."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

import httpx
import numpy as np
import pytest

from driftline.app.client.client import Client
from driftline.app.client.connection import plain, refusal
from driftline.errors import DriftlineError, ForbiddenError, InputError, UnavailableError
from tests.servers.answering import served

ASKED: list[str] = []


class Records(BaseHTTPRequestHandler):
    def do_DELETE(self) -> None:
        ASKED.append(self.path)
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def address() -> Iterator[str]:
    with served(Records) as found:
        yield found


@pytest.mark.parametrize("name", ["..", ".", "../..", "a/b", "a%2Fb", "a?b#c", " ", "v1.2", "ü🎉"])
def test_a_name_is_one_step_of_the_path(address: str, name: str) -> None:
    ASKED.clear()

    with Client(address.removeprefix("http://")) as client:
        client.delete("Alarm", name)

    before, _, last = ASKED[0].partition("?")[0].rpartition("/")
    assert before == "/api/v1/alarms"
    assert unquote(last) == name


@pytest.mark.parametrize("server", ["", "ftp://localhost", "http://", "a:b:c"])
def test_what_is_no_address_is_one_sentence_at_once(server: str) -> None:
    with pytest.raises(InputError):
        Client(server)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, ForbiddenError),
        (413, InputError),
        (429, UnavailableError),
        (502, UnavailableError),
        (404, DriftlineError),
    ],
)
def test_a_proxy_speaks_for_the_server_that_it_stands_before(status: int, kind: type) -> None:
    asked = httpx.Request("GET", "http://shop:8080/api/v1/models")

    found = refusal(httpx.Response(status, request=asked, text="<html>nginx</html>"))

    assert type(found) is kind
    assert ("is no driftline server" in str(found)) is (status == 404)
    assert ("wants a token" in str(found)) is (status == 401)


def test_what_json_does_not_hold_is_refused_and_numbers_of_numpy_are_numbers() -> None:
    assert plain({"a": np.arange(2), "b": np.float32(0.5)}) == {"a": [0, 1], "b": 0.5}
    assert plain(array("d", [0.5])) == [0.5]
    for wrong in (
        Decimal("0.1"),
        b"text",
        np.longdouble(1),
        np.datetime64("2026-01-01T00:00:00", "ns"),
    ):
        with pytest.raises(InputError):
            plain({"label": wrong})
