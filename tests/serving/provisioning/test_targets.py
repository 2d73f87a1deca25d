import asyncio

import pytest

from driftline.serving.provisioning.targets import require_reachable
from driftline.serving.resources.resources import ResourceError


@pytest.mark.parametrize(
    ("url", "network"),
    [
        ("http://localhost:9911/hook", "127.0.0.0/8,::1/128"),
        ("http://0x7f.1/hook", "127.0.0.0/8"),
        ("http://[::ffff:127.0.0.1]/hook", "127.0.0.0/8"),
        ("https://10.1.2.3/hook", "10.0.0.0/8"),
        ("http://93.184.215.14/hook", "93.184.215.14/32"),
        ("https://93.184.215.14:9000/hook", "93.184.215.14/32"),
    ],
)
def test_an_address_that_is_not_public_is_refused_unless_its_network_is_listed(
    url: str, network: str
) -> None:
    with pytest.raises(ResourceError):
        asyncio.run(require_reachable(url, ["172.16.0.0/12"]))

    asyncio.run(require_reachable(url, network.split(",")))


def test_an_address_that_hands_out_credentials_is_refused_whatever_is_listed() -> None:
    with pytest.raises(ResourceError):
        asyncio.run(require_reachable("https://169.254.169.254/x", ["169.254.0.0/16"]))


@pytest.mark.parametrize("url", ["https://93.184.215.14/hook", "http://intern.example:9/hook"])
def test_public_addresses_and_names_that_need_dns_are_taken(url: str) -> None:
    asyncio.run(require_reachable(url, []))
