"""A proxy that authenticates users, and names them in headers that only it may send."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driftline.access.principal import Principal, Role, checked_roles
from driftline.errors import InputError
from driftline.loopback import Scope

SECRET_HEADER = b"x-driftline-proxy-secret"
USER_HEADER, GROUPS_HEADER = b"x-forwarded-user", b"x-forwarded-groups"


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """Whose headers are believed: both the peer's network and the secret must be right.

    Attributes
    ----------
    networks:
        Of the proxy itself (CIDR), as the connection shows it.
    secret:
        What it sends as ``X-Driftline-Proxy-Secret``.
    group_roles:
        The roles of each group. Who is in none may do nothing.
    """

    networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
    secret: str
    group_roles: Mapping[str, frozenset[Role]]

    def principal(self, scope: Scope) -> Principal | None:
        """Return of whom a request of the proxy is; None for anybody else's, whatever it says."""
        if not self._is_proxy(scope):
            return None
        user = _only(scope, USER_HEADER)
        if not user:
            return None
        groups = _only(scope, GROUPS_HEADER) or ""
        return Principal(user[:255], roles_of(groups.split(","), self.group_roles), via="proxy")

    def peer(self, scope: Scope) -> str | None:
        """Return the address that the proxy has added to X-Forwarded-For; None: it says none."""
        forwarded = _only(scope, b"x-forwarded-for") if self._is_proxy(scope) else None
        return forwarded.rpartition(",")[2].strip()[:64] if forwarded else None

    def _is_proxy(self, scope: Scope) -> bool:
        peer, shown = scope.get("client"), _only(scope, SECRET_HEADER)
        if not peer or shown is None:
            return False
        try:
            address = ipaddress.ip_address(peer[0])
        except ValueError:
            return False
        is_near = any(address in network for network in self.networks)
        return is_near and hmac.compare_digest(shown.encode("latin-1"), self.secret.encode())


def roles_of(groups: Sequence[str], group_roles: Mapping[str, frozenset[Role]]) -> frozenset[Role]:
    """Return the roles of somebody in some groups."""
    known = (group_roles.get(group.strip(), frozenset[Role]()) for group in groups)
    return frozenset[Role]().union(*known)


def read_networks(
    texts: Sequence[str],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Return networks from texts such as ``10.0.0.0/8``."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise InputError(f'network "{text[:60]}": {error}') from error
    return tuple(found)


def read_group_roles(texts: Sequence[str]) -> dict[str, frozenset[Role]]:
    """Return the roles of each group from texts such as ``on-call=operator``."""
    found: dict[str, frozenset[Role]] = {}
    for text in texts:
        group, separator, role = text.rpartition("=")
        if not separator or not group.strip():
            raise InputError(f'group_roles "{text[:60]}"; expected GROUP=ROLE')
        known = found.get(group.strip(), frozenset[Role]())
        found[group.strip()] = known | checked_roles([role.strip()])
    return found


def _only(scope: Scope, name: bytes) -> str | None:
    """Return a header's value; None where it is missing, or there twice: one is not the proxy's."""
    found = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return found[0].strip() if len(found) == 1 else None
