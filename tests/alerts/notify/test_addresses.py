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
