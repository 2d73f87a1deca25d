"""The client: names in paths, whatever they hold."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

import pytest

from driftline.app.client.client import Client
from driftline.app.client.connection import trusted_certificates
from driftline.errors import InputError
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

    with Client(address) as client:
        client.delete("Alarm", name)

    before, _, last = ASKED[0].rpartition("/")
    assert before == "/api/v1/alarms"
    assert unquote(last) == name


@pytest.mark.parametrize("wrong", [None, 7])
def test_a_name_that_is_no_text_is_one_sentence(wrong: object) -> None:
    with (
        Client("http://127.0.0.1:1") as client,
        pytest.raises(InputError, match=f"^name or id {wrong}: expected a text"),
    ):
        client.async_invocation("flights", wrong)  # type: ignore[arg-type]


def test_an_address_may_be_its_host_and_port_alone(address: str) -> None:
    ASKED.clear()

    with Client(address.removeprefix("http://")) as client:
        client.delete("Alarm", "a")

    assert ASKED == ["/api/v1/alarms/a"]


@pytest.mark.parametrize("server", ["", "ftp://localhost", "http://", "a:b:c"])
def test_what_is_no_address_is_one_sentence_at_once(server: str) -> None:
    with pytest.raises(InputError, match="expected an address such as"):
        Client(server)


def test_certificates_are_read_for_a_server_that_shows_one_and_for_no_other() -> None:
    none = trusted_certificates("http://127.0.0.1:8080")

    assert isinstance(none, ssl.SSLContext)
    assert none.cert_store_stats()["x509"] == 0
    assert none.verify_mode is ssl.CERT_REQUIRED  # Whatever shows one all the same is refused.
    assert trusted_certificates("https://driftline.example") is True
