"""Whose headers are believed: the peer's network and the secret must both be right."""

from typing import Any

import pytest

from driftline.access.principal import Principal
from driftline.access.proxies import TrustedProxy, read_group_roles, read_networks

SECRET = "s" * 40
PROXY = TrustedProxy(
    read_networks(["10.0.0.0/8", "::1/128"]),
    SECRET,
    read_group_roles(["on-call=operator", "on-call = analyst", "staff=viewer"]),
)
RIGHT = [
    ("x-driftline-proxy-secret", SECRET),
    ("x-forwarded-user", "ana"),
    ("x-forwarded-groups", "on-call, others"),
]


def asked(headers: list[tuple[str, str]], peer: str | None = "10.1.2.3") -> Principal | None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    client = None if peer is None else (peer, 1234)
    scope: dict[str, Any] = {"type": "http", "headers": raw, "client": client}
    return PROXY.principal(scope)


def test_the_proxy_says_who_asks_and_groups_say_what_they_may() -> None:
    found = asked(RIGHT)

    assert found == Principal("ana", frozenset({"operator", "analyst"}), via="proxy")


def test_who_is_in_no_known_group_may_nothing() -> None:
    found = asked([*RIGHT[:2], ("x-forwarded-groups", "guests")])

    assert found is not None
    assert not any(found.may(role) for role in ("viewer", "invoke", "admin"))


@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        (RIGHT, "192.168.0.1"),
        (RIGHT, None),
        (RIGHT, "not an address"),
        (RIGHT[1:], "10.1.2.3"),
        ([("x-driftline-proxy-secret", "t" * 40), *RIGHT[1:]], "10.1.2.3"),
        ([("x-driftline-proxy-secret", ""), *RIGHT[1:]], "10.1.2.3"),
        ([*RIGHT, ("x-forwarded-user", "root")], "10.1.2.3"),
        ([RIGHT[0], RIGHT[2]], "10.1.2.3"),
    ],
)
def test_nobody_else_is_believed(headers: list[tuple[str, str]], peer: str | None) -> None:
    assert asked(headers, peer) is None


@pytest.mark.parametrize(
    ("headers", "peer", "found"),
    [
        ([*RIGHT, ("x-forwarded-for", "1.2.3.4, 203.0.113.9")], "10.1.2.3", "203.0.113.9"),
        ([*RIGHT[1:], ("x-forwarded-for", "203.0.113.9")], "10.1.2.3", None),
        ([*RIGHT, ("x-forwarded-for", "203.0.113.9")], "192.168.0.1", None),
        (RIGHT, "10.1.2.3", None),
    ],
)
def test_only_the_proxy_says_from_where_somebody_asks(
    headers: list[tuple[str, str]], peer: str, found: str | None
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]

    assert PROXY.peer({"type": "http", "headers": raw, "client": (peer, 1)}) == found
