"""Nothing is sent into networks that are not listed, whatever the address looks like.

Names are answered by a DNS server of this test, over UDP, as a resolver of the system would ask.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from driftline.alerts.errors import AddressError, ChannelError
from driftline.alerts.notify.addresses import AddressGuard, resolve
from driftline.alerts.notify.receivers.receiver import OpenChannel, Outgoing, Style
from driftline.alerts.notify.secrets import Secret
from driftline.alerts.notify.senders import Transports, open_sender

PUBLIC = "93.184.215.14"


class Names:
    """A DNS server for A records: each question takes the next answer of the name."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            end = question.index(b"\0", 12)
            labels, place = [], 12
            while place < end:
                length = question[place]
                labels.append(question[place + 1 : place + 1 + length].decode())
                place += length + 1
            name = ".".join(labels)
            self.asked.append(name)
            left = self.answers.get(name, [])
            addresses = (left.pop(0) if len(left) > 1 else left[0]).split() if left else []
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
            body = question[12 : end + 5]
            for one in addresses:
                body += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(one)
            self._socket.sendto(head + body, asker)

    async def resolve(self, host: str, port: int) -> list[str]:
        """Ask over UDP, each time anew; what is an address already is left to the system."""
        try:
            info = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
            return [str(one[4][0]) for one in info]
        except OSError:
            return await asyncio.to_thread(self._ask, host)

    def _ask(self, host: str) -> list[str]:
        question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
        for label in host.split("."):
            question += bytes([len(label)]) + label.encode()
        question += b"\0" + struct.pack(">HH", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.sendto(question, self._socket.getsockname())
            answer = asking.recv(512)
        (count,) = struct.unpack(">H", answer[6:8])
        if not count:
            raise OSError("no such name")
        return [socket.inet_ntoa(answer[-16 * n + 12 :][:4]) for n in range(count, 0, -1)]


@pytest.fixture
def names() -> Iterator[Names]:
    server = Names()
    yield server
    server.close()


def send(guard, url, kind="webhook"):
    channel = OpenChannel("pager", Style(kind), Secret(url))

    async def run():
        async with open_sender(Transports(guard)) as sender:
            return await sender.send(channel, Outgoing("m", b"[]"), datetime.now(UTC))

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["webhook", "alertmanager"])
def test_a_name_that_means_loopback_is_refused(names, receiver, kind):
    names.answers["hooks.example"] = ["127.0.0.1"]
    url = receiver.url.replace("127.0.0.1", "hooks.example")

    assert send(AddressGuard(resolver=names.resolve), url, kind) == (None, "address not allowed")
    assert receiver.requests == []
    assert names.asked == ["hooks.example"]


def test_one_bad_address_among_good_ones_is_enough(names):
    names.answers["hooks.example"] = [f"{PUBLIC} 10.0.0.1"]

    with pytest.raises(AddressError, match=r"^address not allowed$"):
        asyncio.run(AddressGuard(resolver=names.resolve).target("https://hooks.example/x"))


def test_a_name_that_is_bound_anew_is_asked_once_and_held_to_its_answer(names, receiver):
    """DNS rebinding: allowed at the check, elsewhere at the second question."""
    names.answers["hooks.example"] = ["127.0.0.1", "169.254.169.254", "10.0.0.1"]
    guard = AddressGuard(["127.0.0.0/8"], resolver=names.resolve)
    url = receiver.url.replace("127.0.0.1", "hooks.example")

    answers = [send(guard, url) for _ in range(3)]

    assert answers[0][0].is_success
    assert [one[1] for one in answers[1:]] == ["address not allowed"] * 2
    assert len(receiver.requests) == 1
    assert names.asked == ["hooks.example"] * 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_failures_and_not_followed(receiver, other_receiver, status):
    receiver.script = [(status, {"location": other_receiver.url})]

    answer, _ = send(AddressGuard(["127.0.0.0/8"]), receiver.url)

    assert (answer.status, answer.is_success) == (status, False)
    assert other_receiver.requests == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "0.0.0.0",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fe80::1]", "[fc00::1]", "[fec0::1]", "[::]",
        "[ff02::1]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.0.1",
        "169.254.169.254", "192.0.0.8", "192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "localhost", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]",
        "168.63.129.16", "100.100.100.200",
    ],
)  # fmt: skip
def test_every_way_to_write_an_inner_address_is_refused(host):
    with pytest.raises((AddressError, ChannelError)):
        asyncio.run(AddressGuard(resolver=resolve).target(f"https://{host}/x"))


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"]
)
def test_metadata_is_out_of_reach_even_where_everything_is_listed(address):
    guard = AddressGuard(["0.0.0.0/0", "::/0"])

    assert not guard.reaches(address)
    assert guard.reaches("10.0.0.1")
