"""Refuses, when a channel is applied, a target that no message could be sent to.

The guard that decides at each sending is asked here, too, as far as it can be without the DNS:
about hosts that are literal addresses, in whatever notation, and about localhost. What a name
stands for may change until a message goes out; so names are left to the guard at the sending.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from driftline.alerts.addresses import AddressGuard, check_url, resolve, unwrapped
from driftline.alerts.errors import AddressError
from driftline.serving.resources import ResourceError

__all__ = ["require_reachable"]

_LOCALHOST = frozenset({"localhost", "localhost."})


async def require_reachable(where: str, url: str, allow_networks: Sequence[str]) -> None:
    """Refuse a channel's URL whose host is an address that may not be sent to.

    Parameters
    ----------
    where
        What the sentence begins with.
    allow_networks
        The setting ``[notify] allow_networks``.

    Raises
    ------
    ResourceError
        Naming the setting and the value to add, or that no value helps.
    """
    addresses = await _addresses(check_url(url).raw_host.decode("ascii").strip("[]"))
    refused = [one for one in addresses if not await _is_allowed(url, one, allow_networks)]
    if not refused:
        return
    missing = list(dict.fromkeys(_network_of(one) for one in refused))
    host = check_url(url).host
    listed = json.dumps(list(allow_networks))
    if not all([await _is_allowed(url, one, missing) for one in refused]):
        raise ResourceError(
            f'{where}: spec.url: no message may be sent to "{host}", whatever [notify] '
            "allow_networks lists; expected a public https address"
        )
    raise ResourceError(
        f'{where}: spec.url: no message may be sent to "{host}": it is not a public https address '
        f"on a usual port, and [notify] allow_networks = {listed} does not list it; add "
        f"{', '.join(map(json.dumps, missing))} to [notify] allow_networks in the server's "
        "settings and start it again"
    )


async def _addresses(host: str) -> Sequence[str]:
    """Give the addresses of a host that needs no DNS; none of all others."""
    try:
        if host.lower() in _LOCALHOST:
            return await resolve(host, 0)
        found = await asyncio.get_running_loop().getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


async def _is_allowed(url: str, address: str, networks: Sequence[str]) -> bool:
    async def known(_host: str, _port: int) -> Sequence[str]:
        return [address]

    try:
        await AddressGuard(networks, resolver=known).target(url)
    except AddressError:
        return False
    return True


def _network_of(address: str) -> str:
    """Give what to add to the setting: all of IPv4's loopback, of others the address alone."""
    found = unwrapped(ip_address(address))
    if found.is_loopback:
        return "127.0.0.0/8" if found.version == 4 else "::1/128"
    return f"{found}/{found.max_prefixlen}"
