"""Limits of wrong secrets: each counts once, and by the network that sends it."""

import pytest

from driftline.access.limits import FailureLimit, peer_of


def test_a_dead_token_sent_for_ever_counts_once() -> None:
    limit = FailureLimit(2, lambda: 1000.0)
    for _ in range(100):
        if not limit.is_wrong("dead"):
            limit.failed("10.0.0.7", "dead")

    limit.failed("10.0.0.7", "another")


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("10.0.0.7", 1), "10.0.0.7"),
        (("::ffff:10.0.0.7", 1), "10.0.0.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (None, "unknown"),
    ],
)
def test_a_host_of_ipv6_is_one_peer_whatever_address_it_takes(client, peer) -> None:
    assert peer_of({"client": client}) == peer
