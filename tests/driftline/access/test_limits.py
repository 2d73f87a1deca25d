"""Limits per minute, by a clock of the test."""

import asyncio
from datetime import UTC, datetime

import pytest

from driftline.access.authentication import Authenticator
from driftline.access.limits import (
    FAILURES_PER_MINUTE,
    FailureLimit,
    RateLimit,
    TooManyError,
    peer_of,
)
from driftline.access.tokens import create_token
from tests.servers.postgres import new_sqlite, open_url


class Clock:
    """Seconds that the test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_key_waits_for_the_rest_of_its_minute_and_no_other_does() -> None:
    clock = Clock()
    limit = RateLimit(3, clock)
    for _ in range(3):
        assert limit.allows("a")
        clock.now_s += 15

    assert not limit.allows("a")
    assert limit.allows("b")
    clock.now_s += 15
    assert limit.allows("a")


def test_a_dead_token_sent_for_ever_counts_once() -> None:
    limit = FailureLimit(2, Clock())
    for _ in range(100):
        if not limit.is_wrong("dead"):
            limit.failed("10.0.0.7", "dead")

    limit.failed("10.0.0.7", "another")


def test_guesses_are_refused_and_a_right_token_passes(tmp_path) -> None:
    engine = open_url(new_sqlite(tmp_path))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with engine.begin() as connection:
        known, new = (
            create_token(connection, name, ["viewer"], now=now, created_by="test")
            for name in ("known", "new")
        )

    async def attack() -> None:
        found = Authenticator(engine, lambda: now)
        assert await found.find(known, "10.0.0.7") is not None
        for number in range(FAILURES_PER_MINUTE):
            assert await found.find(f"guess {number}", "10.0.0.7") is None
        with pytest.raises(TooManyError):
            await found.find("guess", "10.0.0.7")
        assert await found.find("guess 1", "10.0.0.7") is None
        assert await found.find(known, "10.0.0.7") is not None
        assert await found.find(new, "10.0.0.7") is not None

    asyncio.run(attack())
    engine.dispose()


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("10.0.0.7", 1), "10.0.0.7"),
        (("::ffff:10.0.0.7", 1), "10.0.0.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("no address", 1), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_host_of_ipv6_is_one_peer_whatever_address_it_takes(client, peer) -> None:
    assert peer_of({"client": client}) == peer
