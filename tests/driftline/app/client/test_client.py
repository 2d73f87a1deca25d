"""The client: names in paths, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

import pytest

from driftline.app.client.client import Client
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

    with Client(address.removeprefix("http://")) as client:
        client.delete("Alarm", name)

    before, _, last = ASKED[0].rpartition("/")
    assert before == "/api/v1/alarms"
    assert unquote(last) == name


@pytest.mark.parametrize("server", ["", "ftp://localhost", "http://", "a:b:c"])
def test_what_is_no_address_is_one_sentence_at_once(server: str) -> None:
    with pytest.raises(InputError):
        Client(server)
