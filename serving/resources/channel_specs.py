"""From a declared channel to what the room of alarms knows as one."""

from __future__ import annotations

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.channel import KEY_FIELDS, Channel
from driftline.serving.resources.specs import ChannelSpec

_OWN = frozenset({"type", "url", "secret", "format", *KEY_FIELDS.values()})


def channel_of(name: str, spec: ChannelSpec) -> Channel:
    """Give the channel of a spec.

    Raises
    ------
    ChannelError
        When fields do not go together.
    """
    options = spec.model_dump(mode="json", exclude=set(_OWN), exclude_defaults=True)
    return Channel(name, spec.url, _secret(name, spec), spec.format, spec.type, options)


def _secret(name: str, spec: ChannelSpec) -> str | None:
    """Return the secret by the name that it has in this type of channel."""
    where = f'channel "{name}"'
    for kind, field in KEY_FIELDS.items():
        key = getattr(spec, field)
        if key is not None and spec.type != kind:
            raise ChannelError(f"{where}: {field} with type {spec.type}; expected type {kind}")
        # Apprise opens an incident for the recovery, too, or sends nothing at all.
        if spec.type == "apprise" and spec.url.lower().startswith(f"{kind}:"):
            raise ChannelError(
                f'{where}: url begins with "{kind}:", and apprise closes no incident there; '
                f"expected type: {kind} with {field}"
            )
    if spec.type not in KEY_FIELDS:
        secret: str | None = spec.secret
        return secret
    field = KEY_FIELDS[spec.type]
    if spec.secret is not None:
        raise ChannelError(f"{where}: secret with type {spec.type}; expected {field}")
    key = getattr(spec, field)
    if key is None:
        raise ChannelError(f"{where}: {field} is missing; type {spec.type} needs one")
    return str(key)
