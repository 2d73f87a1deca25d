"""The definition of a channel, and its validation."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.addresses import check_url
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.receivers.receiver import Receiver, Style
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.alerts.notify.receivers.webhook import FORMATS
from driftline.alerts.notify.secrets import Secret, is_reference, variable_of
from driftline.alerts.notify.templates import check_template

_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}")
_PREFIX = "whsec_"
_SECRET_BYTES = (24, 64)  # Standard Webhooks 1.0.0, "Signing scheme".
_SECRETS_MAX = 3
_KEY = re.compile(r"[!-~]{1,255}")

# The secret of these types is a key that the service gave, by the name that it has there.
KEY_FIELDS = {name: one.key for name, one in RECEIVERS.items() if one.key is not None}


@dataclass(frozen=True, slots=True)
class Channel:
    """A target of notifications; errors name it and what was expected, never the secret."""

    name: str  # As alarms name it in their actions.
    # Of HTTP receivers an address, of apprise one of its URLs; env:NAME says where it is kept.
    # Whether it may be reached is decided at each sending.
    url: str = ""
    # What signs a webhook's messages, several with blanks between them, or a service's key; None
    # keeps the one there is, or makes one.
    secret: Secret | str | None = None
    format: str = "driftline"  # Of a webhook's body.
    type: str = "webhook"
    # Of the receiver, and the policy.
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f'channel "{self.name}"'
        if _NAME.fullmatch(self.name) is None:
            raise ChannelError(
                f"channel name {self.name[:80]!r}; expected letters, digits and inner hyphens, "
                "at most 63 of them"
            )
        _require_one_of(where, "type", self.type, RECEIVERS)
        _require_one_of(where, "format", self.format, FORMATS)
        if self.format != "driftline" and self.type != "webhook":
            raise ChannelError(
                f'{where}: format "{self.format}" with type {self.type}; only webhooks have formats'
            )
        self._check_url(where)
        if isinstance(self.secret, str):
            object.__setattr__(self, "secret", Secret(self.secret))
        if self.secret is not None:
            if self.receiver.key:
                _check_key(where, self.type, self.secret_text)
            elif self.type != "webhook":
                raise ChannelError(f"{where}: a secret with type {self.type}; only webhooks sign")
            else:
                check_secret(where, self.secret_text)
        self._check_options(where)

    @property
    def receiver(self) -> Receiver:
        """The receiver of its type."""
        return RECEIVERS[self.type]

    @property
    def secret_text(self) -> str:
        """The secret as text; empty when the channel was not stored yet and has none."""
        return self.secret.reveal() if isinstance(self.secret, Secret) else ""

    @property
    def shown_url(self) -> str:
        """The URL for display: without path and query, which would allow anybody to send."""
        if not self.url or is_reference(self.url):
            return self.url
        if self.receiver.url == "own":
            return f"{self.url.partition(':')[0].lower()}://***"
        parsed = check_url(self.url)
        if parsed.raw_path in (b"", b"/") and not parsed.fragment:
            return self.url
        return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}/***"

    @property
    def shown_options(self) -> dict[str, object]:
        """The options as they may be shown and stored."""
        return {key: value for key, value in self.options.items() if key != "authorization"}

    @property
    def style(self) -> Style:
        """How messages to it are written."""
        return Style(self.type, self.format, self.options)

    def as_dict(self) -> dict[str, object]:
        """Return the channel as plain JSON values, without what is secret."""
        return {
            "name": self.name,
            "type": self.type,
            "url": self.shown_url,
            "format": self.format,
            **self.shown_options,
        }

    def _check_url(self, where: str) -> None:
        needed = self.receiver.url
        if needed == "none":
            if self.url:
                raise ChannelError(f"{where}: a url with type {self.type}; expected none")
        elif not self.url:
            if needed != "optional":
                raise ChannelError(f"{where}: url is missing; type {self.type} needs one")
        elif is_reference(self.url):
            variable_of(self.url, f"{where}: ")
        else:
            if needed != "own":
                check_url(self.url)
                return
            scheme, separator, rest = self.url.partition("://")
            if not separator or not rest or _SCHEME.fullmatch(scheme) is None:
                raise ChannelError(
                    f"{where}: url is none of {self.type}'s; expected such as mailtos://... or "
                    "tgram://..."
                )

    def _check_options(self, where: str) -> None:
        options = {key: value for key, value in self.options.items() if value is not None}
        others = {
            key
            for receiver in RECEIVERS.values()
            for key in receiver.options.model_fields
            if key != receiver.key and key not in self.receiver.options.model_fields
        }
        if wrong := options.keys() & others:
            raise ChannelError(f"{where}: {min(wrong)} with type {self.type}; expected none")
        needed = self.receiver.needs
        if needed is not None and needed not in options:
            expected = self.receiver.options.model_fields[needed].description
            raise ChannelError(f"{where}: {needed} None; expected {expected}")
        if (self.format == "template") != ("template" in options):
            raise ChannelError(f'{where}: expected format "template" and template together')
        if self.format == "template":
            check_template(where, str(options["template"]))
        elif "content_type" in options:
            raise ChannelError(
                f"{where}: content_type {options['content_type']!r}; expected such as "
                '"application/json", with format "template"'
            )
        if self.receiver.key and options.get("group_by"):
            raise ChannelError(
                f"{where}: group_by with type {self.type}; expected none, since the service "
                "itself groups what belongs to an alarm"
            )
        try:
            self.receiver.options.checked(options)
            ChannelPolicy.checked(options)
        except ChannelError as error:
            raise ChannelError(f"{where}: {error}") from error


def check_secret(where: str, text: str) -> None:
    """Check the form of a signing secret, or of several; the message never quotes it."""
    if is_reference(text):
        variable_of(text, f"{where}: ")
        return
    least, most = _SECRET_BYTES
    listed = text.split() or [text]
    if not all(_is_secret(one) for one in listed) or len(listed) > _SECRETS_MAX:
        raise ChannelError(
            f"{where}: the secret is not {_PREFIX} and base64 of {least} to {most} bytes; "
            "leave it out to have one made"
        )


def secrets_of(where: str, kind: str, secret: Secret) -> tuple[Secret, ...]:
    """Return the secrets that a looked-up text holds: all that sign, or a service's key."""
    text = secret.reveal()
    if is_reference(text):
        raise ChannelError(f"{where}: a reference leads to another reference")
    if kind in KEY_FIELDS:
        _check_key(where, kind, text)
        return (secret,)
    check_secret(where, text)
    return tuple(Secret(one) for one in text.split())


def _check_key(where: str, kind: str, text: str) -> None:
    """Check a service's key; the message never quotes it."""
    if is_reference(text):
        variable_of(text, f"{where}: ")
    if _KEY.fullmatch(text) is None:
        raise ChannelError(
            f"{where}: {KEY_FIELDS[kind]} is no key; expected 1 to 255 ASCII characters without "
            "blanks, or a reference such as env:DRIFTLINE_CHANNEL_ONCALL"
        )


def _is_secret(text: str) -> bool:
    least, most = _SECRET_BYTES
    try:
        size = len(base64.b64decode(text.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        return False
    return text.startswith(_PREFIX) and least <= size <= most


def _require_one_of(where: str, field: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise ChannelError(f'{where}: {field} "{name}"; expected one of {", ".join(names)}')
