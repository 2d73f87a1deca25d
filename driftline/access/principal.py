"""Who asks, and what they may: roles, and the endpoints that they are for.

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
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from driftline.errors import InputError

Role = Literal["viewer", "analyst", "operator", "admin", "invoke", "ingest"]
Via = Literal["off", "file", "token", "session", "proxy", "oidc"]
ROLES: tuple[Role, ...] = get_args(Role)
# What a role allows besides its own.
_ALSO: dict[Role, frozenset[Role]] = {
    "analyst": frozenset({"viewer"}),
    "operator": frozenset({"viewer"}),
    "admin": frozenset(ROLES),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes
    ----------
    subject:
        The name that the audit log shows: of a token, or of a person.
    roles:
        As they were given; `may` knows what they include.
    endpoints:
        The only endpoints that may be asked about or written to, in small letters; None: all.
    via:
        How the subject showed who it is.
    token:
        Name of the API token that was shown, or that the session began with; None: another way.
    """

    subject: str
    roles: frozenset[Role]
    endpoints: frozenset[str] | None = None
    via: Via = "token"
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
