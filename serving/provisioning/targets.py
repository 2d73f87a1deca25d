"""Refuses, when a channel is applied, a target that no message could be sent to.

It asks the guard that decides at each sending, without the DNS: about literal addresses, in any
notation, and about localhost. Names may resolve differently later and are left to that guard.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence, Set
from importlib.util import find_spec
from ipaddress import ip_address

from driftline.alerts.errors import AddressError
from driftline.alerts.notify.addresses import AddressGuard, check_url, resolve, unwrapped
from driftline.alerts.notify.receivers.apprise import ENVIRONMENT, MEMORY_BYTES
from driftline.alerts.notify.receivers.plugin_child import GROUP, others_of, plugin_names
from driftline.alerts.notify.receivers.programs import argv_of, run_program
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.secrets import is_reference
from driftline.child import module_argv
from driftline.errors import InputError, UnavailableError
from driftline.serving.resources.resources import Resource, ResourceError
from driftline.serving.resources.specs import ChannelSpec

log = logging.getLogger(__name__)

# Apprise loads its services in one second, on a machine that has nothing to do.
_READING_MAX_S = 30.0
# Programs that load apprise at the same moment; each may take seconds and a gigabyte.
ASKING_MAX = 2
_LOCALHOST = frozenset({"localhost", "localhost."})


async def require_ways(
    resources: Iterable[Resource],
    *,
    commands: Mapping[str, str],
    allow_networks: Sequence[str],
    turns: asyncio.Semaphore,
    known: Set[str] = frozenset(),
) -> None:
    """Refuse channels that this installation would never send to; other resources pass."""
    of_apprise = []
    for resource in resources:
        spec, where = resource.spec, str(resource)
        if not isinstance(spec, ChannelSpec):
            continue
        if "/***" in spec.url:
            raise ResourceError(
                f"{where}: spec.url {spec.url[:80]} is masked, as it is shown; expected it whole"
            )
        if spec.type == "command":
            try:
                argv_of(spec.command or "", commands)
            except InputError as error:
                raise ResourceError(f"{where}: spec.command: {error}") from error
        require_installed(where, spec.type, spec.plugin)
        if is_reference(spec.url):
            continue
        if RECEIVERS[spec.type].url in ("http", "optional") and spec.url:
            await require_reachable(where, spec.url, allow_networks)
        elif spec.type == "apprise" and resource.key not in known:
            of_apprise.append((where, spec.url))
    if of_apprise:
        async with turns:
            await require_readable(of_apprise)


def require_installed(where: str, kind: str, plugin: str | None) -> None:
    """Refuse a channel whose messages need a package that is not here."""
    if kind == "apprise" and find_spec("apprise") is None:
        raise ResourceError(
            f'{where}: spec.type: "apprise" needs a package that is not installed; install '
            "driftline[apprise] here and where messages are sent"
        )
    if kind == "plugin" and plugin not in (names := plugin_names()):
        mend = f", or install the package with the entry point of group {GROUP}" if names else ""
        raise ResourceError(
            f'{where}: spec.plugin: no plugin "{plugin}" is installed{others_of(names)}{mend} here '
            "and where messages are sent"
        )


async def require_readable(urls: Sequence[tuple[str, str]]) -> None:
    """Refuse URLs of apprise, which must be installed, that it cannot read."""
    # In a process of its own, as messages are sent: apprise is two hundred modules of others.
    argv = module_argv("driftline.alerts.notify.receivers.apprise_child")
    asked = json.dumps({"to_read": [url for _, url in urls]}).encode()
    try:
        answer = await asyncio.to_thread(
            run_program, argv, asked, timeout_s=_READING_MAX_S, environment=ENVIRONMENT,
            memory_bytes=MEMORY_BYTES,
        )  # fmt: skip
    except (TimeoutError, OSError) as error:
        raise UnavailableError(
            f"{urls[0][0]}: spec.url: apprise did not say within {_READING_MAX_S:.0f} s whether it "
            "can read it; apply it again"
        ) from error
    if answer.status == 0:
        return
    try:
        found = json.loads(answer.text)
        where, why = urls[found["index"]][0], str(found["why"])
    except (ValueError, LookupError, TypeError):
        log.warning("apprise_failed code=%s said=%s", answer.status, answer.text)
        raise UnavailableError(
            f"{urls[0][0]}: spec.url: apprise ended with code {answer.status}; see the server's log"
        ) from None
    raise ResourceError(f"{where}: spec.url: {why}")


async def require_reachable(where: str, url: str, allow_networks: Sequence[str]) -> None:
    """Refuse a channel's URL whose host is an address that may not be sent to."""
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
    """Return the addresses of a host that needs no DNS; none of all others."""
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
    """Return what to add to the setting: all of IPv4's loopback, of others the address alone."""
    found = unwrapped(ip_address(address))
    if found.is_loopback:
        return "127.0.0.0/8" if found.version == 4 else "::1/128"
    return f"{found}/{found.max_prefixlen}"
