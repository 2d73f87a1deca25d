"""What a channel is: its types, what each of them needs, and what is wrong with a definition."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import Row

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.addresses import check_url
from driftline.alerts.notify.policy import ChannelPolicy
from driftline.alerts.notify.secrets import Secret, is_reference
from driftline.alerts.notify.templates import check_template

Format = Literal["driftline", "sns", "eventbridge", "cloudevents", "slack", "template"]

_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}")
_ENTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_CONTENT_TYPE = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+( ?; ?[A-Za-z-]+=[A-Za-z0-9-]+)?")
_PREFIX = "whsec_"
_SECRET_BYTES = (24, 64)  # Standard Webhooks 1.0.0, "Signing scheme".
_SECRETS_MAX = 3
_LABELS_MAX = 20
_OVERLAP_MAX_H = 30 * 24.0

# The secret of these types is a key that the service gave, by the name that it has there.
KEY_FIELDS = {"pagerduty": "routing_key", "opsgenie": "api_key"}
# These keep the state of each alarm, and group by themselves: they are told each change.
ALERT_TYPES = frozenset({"alertmanager", *KEY_FIELDS})
# These are sent by a process of its own; all others by a request of ours.
PROGRAM_TYPES = frozenset({"apprise", "command", "plugin"})
_KEY = re.compile(r"[!-~]{1,255}")
_POLICIES = ("group_by", "damp_flapping", "configuration_changes")

# What each type takes beside name, type and what all take.
_TAKES: dict[str, frozenset[str]] = {
    "webhook": frozenset({"template", "content_type", "authorization", "rotation_h"}),
    "alertmanager": frozenset({"labels", "authorization"}),
    "pagerduty": frozenset(),
    "opsgenie": frozenset(),
    "apprise": frozenset(),
    "command": frozenset({"command"}),
    "plugin": frozenset({"plugin"}),
}
_OWN_OPTIONS = frozenset().union(*_TAKES.values())


@dataclass(frozen=True, slots=True)
class Style:
    """How a channel wants its messages written."""

    type: str = "webhook"
    format: str = "driftline"
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Row[Any] | None) -> Style:
        """Read it from a row of channels; our own where there is none."""
        return cls(row.type, row.format, row.options) if row is not None else cls()

    @property
    def has_values(self) -> bool:
        """Whether the channel may be told values of single rows."""
        return self.options.get("include_values") is True


@dataclass(frozen=True, slots=True)
class Channel:
    """A target of messages.

    Parameters
    ----------
    name
        As alarms name it in their actions.
    url
        Of a webhook or an Alertmanager: an ``http(s)`` address; whether it may be reached is
        decided anew at each sending. Of PagerDuty and Opsgenie: of another region, the usual one
        by default. Of apprise: its URL, which is a secret. ``env:NAME`` and ``file:PATH`` say
        where the URL is kept.
    secret
        Signs each message of a webhook (Standard Webhooks), or says by reference where that is
        kept; None keeps the one there is, or makes one. Several, with blanks between them, all
        sign. Of PagerDuty the routing key, of Opsgenie the API key.
    format
        Of a webhook's body. ``driftline``: our own, with the cause; ``sns``, ``eventbridge``: what
        receivers of CloudWatch's alarms expect; ``cloudevents``; ``slack``: a text that Slack,
        Mattermost and Rocket.Chat show; ``template``: one's own.
    type
        ``webhook``, ``alertmanager``, ``pagerduty``, ``opsgenie``, ``apprise``, ``command`` or
        ``plugin``.
    options
        All else: ``template``, ``content_type``, ``authorization``, ``labels``, ``command``,
        ``plugin``, ``include_values``, ``rotation_h``, and whatever says how messages are
        held back and grouped, which is not looked at here.

    Raises
    ------
    ChannelError
        Naming the channel and what was expected; never the secret.
    """

    name: str
    url: str = ""
    secret: Secret | str | None = None
    format: str = "driftline"
    type: str = "webhook"
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f'channel "{self.name}"'
        if _NAME.fullmatch(self.name) is None:
            raise ChannelError(
                f"channel name {self.name[:80]!r}; expected letters, digits and inner hyphens, "
                "at most 63 of them"
            )
        if self.type not in _TAKES:
            raise ChannelError(f'{where}: type "{self.type}"; expected one of {_listed(_TAKES)}')
        if self.format not in get_args(Format):
            formats = _listed(get_args(Format))
            raise ChannelError(f'{where}: format "{self.format}"; expected one of {formats}')
        if self.format != "driftline" and self.type != "webhook":
            raise ChannelError(
                f'{where}: format "{self.format}" with type {self.type}; only webhooks have formats'
            )
        self._check_url(where)
        if isinstance(self.secret, str):
            object.__setattr__(self, "secret", Secret(self.secret))
        if self.secret is not None:
            if self.type in KEY_FIELDS:
                _check_key(where, self.type, self.secret_text)
            elif self.type != "webhook":
                raise ChannelError(f"{where}: a secret with type {self.type}; only webhooks sign")
            else:
                check_secret(where, self.secret_text)
        self._check_options(where)

    @property
    def secret_text(self) -> str:
        """The secret as text; empty when the channel was not stored yet and has none."""
        return self.secret.reveal() if isinstance(self.secret, Secret) else ""

    @property
    def has_secret_url(self) -> bool:
        """Whether the URL itself lets whoever knows it send."""
        return (self.type == "apprise" or self.format == "slack") and not is_reference(self.url)

    @property
    def shown_url(self) -> str:
        """The URL as it may be shown: of a secret one the beginning."""
        if not self.has_secret_url:
            return self.url
        if self.type == "apprise":
            return f"{self.url.partition(':')[0].lower()}://***"
        parsed = check_url(self.url)
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
        """Give the channel as plain JSON values, without what is secret."""
        return {
            "name": self.name,
            "type": self.type,
            "url": self.shown_url,
            "format": self.format,
            **self.shown_options,
        }

    def _check_url(self, where: str) -> None:
        if self.type in ("command", "plugin"):
            if self.url:
                raise ChannelError(f"{where}: a url with type {self.type}; expected none")
            return
        if not self.url and self.type in KEY_FIELDS:
            return
        if not self.url:
            raise ChannelError(f"{where}: url is missing; type {self.type} needs one")
        if is_reference(self.url):
            return
        if self.type == "apprise":
            scheme, found, rest = self.url.partition("://")
            if not found or not rest or _SCHEME.fullmatch(scheme) is None:
                raise ChannelError(
                    f"{where}: url is none of apprise's; expected such as mailtos://... or "
                    "tgram://..."
                )
            return
        check_url(self.url)

    def _check_options(self, where: str) -> None:
        given = {key for key, value in self.options.items() if value is not None} & _OWN_OPTIONS
        if wrong := given - _TAKES[self.type]:
            raise ChannelError(f"{where}: {min(wrong)} with type {self.type}; expected none")
        for key in ("command", "plugin"):
            if self.type == key and not _is_text(self.options.get(key), _ENTRY):
                raise ChannelError(
                    f"{where}: {key} {self.options.get(key)!r}; expected the name of one"
                )
        if (self.format == "template") != (self.options.get("template") is not None):
            raise ChannelError(f'{where}: expected format "template" and template together')
        if self.format == "template":
            check_template(where, str(self.options["template"]))
        kind = self.options.get("content_type")
        if kind is not None and (self.format != "template" or not _is_text(kind, _CONTENT_TYPE)):
            raise ChannelError(
                f'{where}: content_type {kind!r}; expected such as "application/json", with format '
                '"template"'
            )
        if self.type in KEY_FIELDS and (
            held := [key for key in _POLICIES if self.options.get(key)]
        ):
            raise ChannelError(
                f"{where}: {held[0]} with type {self.type}; expected none, since the service "
                "itself groups what belongs to an alarm"
            )
        self._check_more(where)

    def _check_more(self, where: str) -> None:
        try:
            ChannelPolicy.of(self.options)
        except ChannelError as error:
            raise ChannelError(f"{where}: {error}") from error
        header = self.options.get("authorization")
        if header is not None and not (
            isinstance(header, str) and 1 <= len(header) <= 4096 and header.isprintable()
            and header.isascii() and not is_reference(header)
        ):  # fmt: skip
            raise ChannelError(
                f'{where}: authorization cannot be sent; expected such as "Bearer ..." in ASCII, '
                "not a reference"
            )
        overlap = self.options.get("rotation_h")
        if overlap is not None and not (
            isinstance(overlap, int | float) and 0 <= overlap <= _OVERLAP_MAX_H
        ):
            raise ChannelError(
                f"{where}: rotation_h {overlap!r}; expected 0 to {_OVERLAP_MAX_H:g} hours"
            )
        labels = self.options.get("labels")
        if labels is not None and not (
            isinstance(labels, Mapping)
            and len(labels) <= _LABELS_MAX
            and all(_is_text(key, _LABEL) and isinstance(labels[key], str) for key in labels)
        ):
            raise ChannelError(
                f"{where}: labels {str(labels)[:80]}; expected at most {_LABELS_MAX} names of "
                "letters, digits and underscores, each with a text"
            )


def check_secret(where: str, text: str) -> None:
    """Check the form of a signing secret, or of several; the message never quotes it.

    Raises
    ------
    ChannelError
        When it is neither a reference nor ``whsec_`` and base64.
    """
    if is_reference(text):
        return
    least, most = _SECRET_BYTES
    listed = text.split() or [text]
    if not all(_is_secret(one) for one in listed) or len(listed) > _SECRETS_MAX:
        raise ChannelError(
            f"{where}: the secret is not {_PREFIX} and base64 of {least} to {most} bytes; "
            "leave it out to have one made"
        )


def secrets_of(where: str, kind: str, secret: Secret) -> tuple[Secret, ...]:
    """Return the secrets that a looked-up text holds: all that sign, or a service's key.

    Raises
    ------
    ChannelError
        When it is not what the channel's type needs.
    """
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
    if _KEY.fullmatch(text) is None:
        raise ChannelError(
            f"{where}: {KEY_FIELDS[kind]} is no key; expected 1 to 255 ASCII characters without "
            "blanks, or a reference such as env:NAME"
        )


def _is_secret(text: str) -> bool:
    least, most = _SECRET_BYTES
    try:
        size = len(base64.b64decode(text.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        return False
    return text.startswith(_PREFIX) and least <= size <= most


def _is_text(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
