import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import AddressError, ChannelError
from driftline.alerts.notify.addresses import AddressGuard, check_url

PUBLIC = "93.184.215.14"


def reach(url: str, *addresses: str, allow=()) -> str:
    """Ask the guard; without addresses the system resolves the host (no DNS for numbers)."""

    async def resolver(host, port):
        return addresses

    guard = AddressGuard(allow, resolver=resolver if addresses else None)
    return str(asyncio.run(guard.target(url)).address)


# The OWASP cheat sheet on server-side request forgery.
BYPASSES = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.8",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:7f00:1:0:0:80ff:fffe",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
    "::ffff:0:7f00:1",
    "3fff::1",
    "5f00::1",
    "fd20:ce::254",
]


@pytest.mark.parametrize("address", BYPASSES)
def test_addresses_that_are_no_public_host_are_refused(address):
    with pytest.raises(AddressError, match=r"^address not allowed$"):
        reach("https://hooks.example/x", address)


@pytest.mark.parametrize("address", BYPASSES)
def test_one_bad_address_among_good_ones_is_enough(address):
    with pytest.raises(AddressError, match=r"^address not allowed$"):
        reach("https://hooks.example/x", PUBLIC, address)


@pytest.mark.parametrize(
    "host", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "[::ffff:7f00:1]", "[::1]", "127.0.0.1"]
)
def test_odd_spellings_of_loopback_are_judged_by_what_they_resolve_to(host):
    with pytest.raises((AddressError, ChannelError)):
        reach(f"https://{host}/x")


@pytest.mark.parametrize(
    "address", [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"]
)
def test_public_addresses_may_be_reached(address):
    assert reach("https://hooks.example/x", address) == address


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        ("http://127.0.0.1:9999/", ["127.0.0.0/8"]),
        ("http://[::1]:9999/", ["::1/128"]),
        ("http://[::ffff:127.0.0.1]:9999/", ["127.0.0.0/8"]),
        ("http://10.1.2.3/", ["192.168.0.0/16", "10.0.0.0/8"]),
    ],
)
def test_a_listed_network_may_be_reached_over_plain_http_on_any_port(url, allow):
    reach(url, allow=allow)


def test_loopback_needs_an_entry_of_its_own():
    with pytest.raises(AddressError):
        reach("http://127.0.0.1:9999/", allow=["10.0.0.0/8"])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:0:a9fe:a9fe",
        "::a9fe:a9fe",
        "fd00:ec2::254",
        "fd20:ce::254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
    ],
)
def test_cloud_metadata_is_never_reached_even_when_listed(address):
    with pytest.raises(AddressError):
        reach("http://hooks.example/", address, allow=["0.0.0.0/0", "::/0"])


@pytest.mark.parametrize(
    "url", ["http://hooks.example/", "https://hooks.example:22/", "https://hooks.example:0/"]
)
def test_a_public_host_needs_https_and_a_usual_port(url):
    with pytest.raises(AddressError):
        reach(url, PUBLIC)


def test_details_go_to_the_log_and_not_to_the_user(caplog):
    caplog.set_level(logging.WARNING)

    with pytest.raises(AddressError, match=r"^address not allowed$"):
        reach("https://hooks.example/secret-path", "10.0.0.1")

    assert "address=10.0.0.1" in caplog.text
    assert "secret-path" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example",
        "//hooks.example",
        "https://",
        "https://u:p@hooks.example",
        "https://a@b",
        "http://[::1",
        "file:///etc/passwd",
        "gopher://x",
    ],
)
def test_a_url_that_is_no_plain_web_address_is_refused(url):
    with pytest.raises(ChannelError):
        check_url(url)


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_an_error_of_ours(text):
    try:
        found = check_url(text)
    except ChannelError:
        return
    assert found.scheme in ("http", "https")
    assert found.raw_host


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "nobody.invalid"])
def test_a_host_that_does_not_resolve_is_an_error_of_ours(host):
    with pytest.raises((AddressError, ChannelError)):
        reach(f"https://{host}/")


def test_a_network_that_cannot_be_read_is_named():
    with pytest.raises(AddressError, match=r'network "10\.0\.0\.1/8" cannot be read'):
        AddressGuard(["10.0.0.1/8"])
