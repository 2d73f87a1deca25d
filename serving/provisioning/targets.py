"""Refuses, when a channel is applied, a target that no message could be sent to.

It asks the guard that decides at each sending, without the DNS: about literal addresses, in any
notation, and about localhost. Names may resolve differently later and are left to that guard.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec

from driftline.alerts.errors import AddressError
from driftline.alerts.notify.addresses import AddressGuard, check_url
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
_LOCALHOST = frozenset({"localhost", "localhost."})


async def require_targets(
    resources: Iterable[Resource], commands: Mapping[str, str], allow_networks: Sequence[str]
) -> None:
    """Refuse channels that this installation would never send to; other resources pass."""
    of_apprise = []
    for resource in resources:
        if not isinstance(resource.spec, ChannelSpec):
            continue
        spec, where = resource.spec, f"{resource}: spec"
        if "/***" in spec.url:
            raise ResourceError(
                f"{where}.url {spec.url[:80]} is masked, as it is shown; expected it whole"
            )
        if spec.type == "command":
            try:
                argv_of(spec.command or "", commands)
            except InputError as error:
                raise ResourceError(f"{where}.command: {error}") from error
        elif spec.type == "plugin" and spec.plugin not in (names := plugin_names()):
            raise ResourceError(
                f'{where}.plugin: no plugin "{spec.plugin}" is installed{others_of(names)}; '
                f"install the package with the entry point of group {GROUP} here and where "
                "messages are sent"
            )
        elif spec.type == "apprise" and find_spec("apprise") is None:
            raise ResourceError(
                f'{where}.type: "apprise" needs a package that is not installed; install '
                "driftline[apprise] here and where messages are sent"
            )
        if is_reference(spec.url):
            continue
        if RECEIVERS[spec.type].url in ("http", "optional") and spec.url:
            await require_reachable(f"{where}.url", spec.url, allow_networks)
        elif spec.type == "apprise":
            of_apprise.append((f"{where}.url", spec.url))
    if of_apprise:
        await _require_readable(of_apprise)


async def require_reachable(where: str, url: str, allow_networks: Sequence[str]) -> None:
    """Refuse a channel's URL whose host is an address that may not be sent to."""
    host = check_url(url).raw_host.decode("ascii").strip("[]")
    flags = 0 if host.lower() in _LOCALHOST else socket.AI_NUMERICHOST
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=flags
        )
    except (OSError, UnicodeError):  # A name, which needs the DNS.
        return

    async def resolved(_host: str, _port: int) -> Sequence[str]:
        return [str(entry[4][0]) for entry in found]

    try:
        await AddressGuard(allow_networks, resolver=resolved).target(url)
    except AddressError as error:
        raise ResourceError(
            f'{where}: no message may be sent to "{host}": it is not a public https address on a '
            "usual port; to allow its network, list it in [notify] allow_networks in the server's "
            "settings and start it again"
        ) from error


async def _require_readable(urls: Sequence[tuple[str, str]]) -> None:
    """Refuse URLs that apprise cannot read, asked in a process of its own, as messages are sent."""
    argv = module_argv("driftline.alerts.notify.receivers.apprise_child")
    asked = json.dumps({"to_read": [url for _, url in urls]}).encode()
    try:
        answer = await asyncio.to_thread(
            run_program, argv, asked, timeout_s=_READING_MAX_S, environment=ENVIRONMENT,
            memory_bytes=MEMORY_BYTES,
        )  # fmt: skip
        if answer.status == 0:
            return
        found = json.loads(answer.text)
        where, why = urls[found["index"]][0], str(found["why"])
    except (TimeoutError, OSError, ValueError, LookupError, TypeError) as error:
        log.warning("apprise_failed error=%s", type(error).__name__)
        raise UnavailableError(
            f"{urls[0][0]}: apprise did not say within {_READING_MAX_S:.0f} s whether it can read "
            "it; apply it again"
        ) from error
    raise ResourceError(f"{where}: {why}")
