"""A guard against requests into networks that notifications must not reach.

A URL is parsed once, its host is resolved, *every* address is checked, and the connection goes to a
checked address, not to the name: a DNS answer that changes between check and use cannot help an
attacker. Strings such as ``0x7f.1`` are judged by what they resolve to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import httpx

from driftline.alerts.errors import AddressError, ChannelError

log = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_PORTS = frozenset({80, 443, 8080, 8443})

# Never, even when a listed network covers them: they hand out credentials of the machine.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, and others
        "169.254.170.2",  # AWS container credentials
        "169.254.170.23",  # AWS pod identity
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure host
        "192.0.0.192",  # Oracle
    )
)

# What ``is_global`` of Python 3.11 lets through although it is no public host.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001:db8::/32",
        "3fff::/20",
    )
)
# All that is assigned as public IPv6 so far (IANA); the rest is special, or nobody's.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_LOW_32_BITS = 0xFFFFFFFF
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was checked, and the address to connect to in its stead."""

    url: httpx.URL
    address: Address

    @property
    def pinned_url(self) -> httpx.URL:
        """The URL with the checked address in place of the name."""
        return self.url.copy_with(host=str(self.address))

    @property
    def host_header(self) -> str:
        """The Host header: the name, and the port unless it is the default."""
        return self.url.netloc.decode("ascii")

    @property
    def server_name(self) -> str:
        """The name that the certificate must be for."""
        return self.url.raw_host.decode("ascii").strip("[]")


class AddressGuard:
    """Decides whether a URL may be sent to, anew at each call."""

    def __init__(
        self, allow_networks: Iterable[str] = (), *, resolver: Resolver | None = None
    ) -> None:
        self._allowed = tuple(_network(text) for text in allow_networks)
        self._resolver = resolver or resolve

    async def target(self, url: str) -> Target:
        """Check a URL and choose the address to connect to."""
        parsed = check_url(url)
        usual = 443 if parsed.scheme == "https" else 80
        port = usual if parsed.port is None else parsed.port
        host = parsed.raw_host.decode("ascii").strip("[]")
        try:
            texts = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:  # Labels that are too long are a UnicodeError.
            log.warning("address_unresolved host=%s error=%s", host, error)
            raise AddressError("address could not be resolved") from error
        addresses = [_address(text) for text in texts]
        if not addresses:
            raise AddressError("address could not be resolved")
        for address in addresses:
            if (problem := self._problem(address, parsed.scheme, port)) is not None:
                log.warning("address_refused host=%s address=%s why=%s", host, address, problem)
                raise AddressError("address not allowed")
        return Target(parsed, addresses[0])

    def reaches(self, text: str) -> bool:
        """Whether an address may be connected to at all, whatever port and scheme."""
        try:
            address = _address(text.partition("%")[0])
        except AddressError:
            return False
        is_listed, problem = self._judged(address)
        return is_listed or problem is None

    def _judged(self, address: Address) -> tuple[bool, str | None]:
        """Whether an address is listed, and what is wrong with it."""
        inner = unwrapped(address)
        if address in _METADATA or inner in _METADATA or _low_bits(address) in _METADATA:
            return False, "cloud metadata"
        if any(inner in network for network in self._allowed):
            return True, None
        return False, None if _is_public(inner) else "not public, not in allow_networks"

    def _problem(self, address: Address, scheme: str, port: int) -> str | None:
        is_listed, problem = self._judged(address)
        if is_listed or problem is not None:
            return problem
        if scheme != "https":
            return "plain http to a host that is not in allow_networks"
        if port not in _PORTS:
            return f"port {port}"
        return None


def check_url(url: str) -> httpx.URL:
    """Check the form of a target's URL, without resolving it."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, UnicodeError) as error:
        raise ChannelError("url cannot be read; expected such as https://host/path") from error
    if parsed.scheme not in ("http", "https") or not parsed.raw_host:
        raise ChannelError(
            # Not its host: of other services' URLs that is where the token stands.
            f'url with scheme "{parsed.scheme}"; expected such as https://host/path'
        )
    if parsed.userinfo:
        raise ChannelError("url carries a user or password; expected none, messages are signed")
    return parsed


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for all addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, or the address itself.

    Mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96), 6to4 (2002::/16), Teredo (2001::/32).
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return _low_bits(address)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return address


def _low_bits(address: Address) -> ipaddress.IPv4Address:
    """Return what stands in the last 32 bits, where most translations of IPv4 put the address."""
    return ipaddress.IPv4Address(int(address) & _LOW_32_BITS)


def _is_public(address: Address) -> bool:
    """Whether an address, unwrapped before, is a public host."""
    if not address.is_global or address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not any(
        address in network for network in _NOT_PUBLIC if network.version == address.version
    )


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise AddressError("address could not be resolved") from error


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise AddressError(
            f'network "{text}" cannot be read; expected such as "127.0.0.0/8" or "10.0.0.0/8"'
        ) from error
