"""Refuses, at the apply, what the guard of each sending would refuse without the DNS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence

from driftline.alerts.errors import AddressError
from driftline.alerts.notify.addresses import AddressGuard, check_url
from driftline.alerts.notify.receivers.apprise import require_readable
from driftline.alerts.notify.receivers.plugin_child import others_of, plugin_names
from driftline.alerts.notify.receivers.programs import argv_of
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.secrets import is_reference
from driftline.errors import InputError
from driftline.serving.resources.resources import Resource, ResourceError
from driftline.serving.resources.specs import ChannelSpec

_LOCALHOST = frozenset({"localhost", "localhost."})


async def require_targets(
    resources: Iterable[Resource], commands: Mapping[str, str], allow_networks: Sequence[str]
) -> None:
    """Refuse channels that this installation would never send to; other resources pass."""
    for resource in resources:
        if isinstance(spec := resource.spec, ChannelSpec):
            try:
                await _require_target(spec, commands, allow_networks)
            except InputError as error:
                raise ResourceError(f"{resource}: spec: {error}") from error


async def _require_target(
    spec: ChannelSpec, commands: Mapping[str, str], allow_networks: Sequence[str]
) -> None:
    if "/***" in spec.url:
        raise ResourceError(f"url {spec.url[:80]} is masked, as it is shown; expected it whole")
    if spec.type == "command":
        argv_of(spec.command or "", commands)
    elif spec.type == "plugin" and spec.plugin not in (names := plugin_names()):
        raise ResourceError(f'no plugin "{spec.plugin}" is installed{others_of(names)}')
    elif spec.type == "apprise" and not is_reference(spec.url):
        await asyncio.to_thread(require_readable, spec.url)
    is_http = spec.url and RECEIVERS[spec.type].url in ("http", "optional")
    if is_http and not is_reference(spec.url):
        await require_reachable(spec.url, allow_networks)


async def require_reachable(url: str, allow_networks: Sequence[str]) -> None:
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
            f'url: no message may be sent to "{host}": it is not a public https address on a '
            "usual port; to allow its network, list it in [notify] allow_networks in the server's "
            "settings and start it again"
        ) from error
