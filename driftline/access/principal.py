"""Who asks, and what they may: roles, the endpoints that they are for, and proxies that say who.

=========  =========================================================================
viewer     reads everything but raw rows and values
analyst    viewer, and raw rows, exports and frequent values
operator   viewer, and silences, annotations, runs of monitors, states of alarms
admin      everything, declared resources and tokens among it
invoke     asks endpoints for predictions, nothing else
ingest     sends captures, events, labels and metrics, nothing else
=========  =========================================================================
"""

from __future__ import annotations

import getpass
import hmac
import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from driftline.errors import InputError
from driftline.loopback import Scope

Role = Literal["viewer", "analyst", "operator", "admin", "invoke", "ingest"]
Via = Literal["off", "file", "token", "access-key", "session", "proxy", "oidc"]
ROLES: tuple[Role, ...] = get_args(Role)
# What a role allows besides its own.
_ALSO: dict[Role, frozenset[Role]] = {
    "analyst": frozenset({"viewer"}),
    "operator": frozenset({"viewer"}),
    "admin": frozenset(ROLES),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, by the name that the audit log shows; `may` knows what its roles include."""

    subject: str
    roles: frozenset[Role]
    # The only ones that may be asked about or written to, in small letters; None: all.
    endpoints: frozenset[str] | None = None
    via: Via = "token"
    # The API token that was shown, or that the session began with; None: another way.
    token: str | None = None

    def may(self, role: Role) -> bool:
        """Whether what needs a role is allowed."""
        return any(role == own or role in _ALSO.get(own, ()) for own in self.roles)

    def reaches(self, endpoint: str) -> bool:
        """Whether an endpoint is among those that the subject is for."""
        return self.endpoints is None or endpoint.lower() in self.endpoints


# While [auth] mode is "off", whoever reaches the listener may do everything.
ANYBODY = Principal("anybody on this machine", frozenset({"admin"}), via="off")

CURRENT: ContextVar[Principal] = ContextVar("principal", default=ANYBODY)
"""Who asked for what is being done now; changes are noted in the audit log under this name."""


def system_user() -> str:
    """Return the name of the user that runs this process; "local" where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container may have no name for its user.
        return "local"


def signing_name() -> str:
    """Return the name that changes are signed with: the system user's where nobody logs in."""
    who = CURRENT.get()
    return system_user() if who.via == "off" else who.subject


def checked_roles(names: Collection[str]) -> frozenset[Role]:
    """Return names of roles as roles; refuse an unknown name and an empty list."""
    found = frozenset(role for role in ROLES if role in names)
    if unknown := sorted(set(names) - found):
        raise InputError(f'role "{unknown[0][:40]}"; expected some of {", ".join(ROLES)}')
    if not found:
        raise InputError(f"no role; expected some of {', '.join(ROLES)}")
    return found


SECRET_HEADER = b"x-driftline-proxy-secret"
USER_HEADER, GROUPS_HEADER = b"x-forwarded-user", b"x-forwarded-groups"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
GroupRoles = Mapping[str, frozenset[Role]]


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """A proxy that authenticates users: believed by its network (CIDR) and its secret, both."""

    networks: Sequence[Network]
    secret: str
    group_roles: GroupRoles

    def principal(self, scope: Scope) -> Principal | None:
        """Return of whom a request of the proxy is; None for anybody else's, whatever it says."""
        user = _only(scope, USER_HEADER) if self._is_proxy(scope) else None
        if not user:
            return None
        groups = (_only(scope, GROUPS_HEADER) or "").split(",")
        return Principal(user[:255], roles_of(groups, self.group_roles), via="proxy")

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


def _only(scope: Scope, name: bytes) -> str | None:
    """Return a header's value; None where it is missing, or there twice: one is not the proxy's."""
    found = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return found[0].strip() if len(found) == 1 else None


def roles_of(groups: Iterable[str], group_roles: GroupRoles) -> frozenset[Role]:
    """Return the roles of somebody in some groups."""
    return frozenset(role for one in groups for role in group_roles.get(one.strip(), ()))


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks from texts such as ``10.0.0.0/8``."""
    try:
        return tuple(map(ipaddress.ip_network, texts))
    except ValueError as error:
        raise InputError(f"network {error}") from error


def read_group_roles(texts: Iterable[str]) -> dict[str, frozenset[Role]]:
    """Return the roles of each group from texts such as ``on-call=operator``."""
    found: dict[str, frozenset[Role]] = {}
    for text in texts:
        group, _, role = (part.strip() for part in text.rpartition("="))
        if not group:
            raise InputError(f'group_roles "{text[:60]}"; expected GROUP=ROLE')
        found[group] = found.get(group, frozenset()) | checked_roles([role])
    return found
