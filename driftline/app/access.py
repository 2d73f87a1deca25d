"""From the settings to who may ask: what server and dashboard build alike."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from driftline.access.authentication import Authenticator
from driftline.access.credentials import register_token
from driftline.access.logins import Access
from driftline.access.oidc import Provider, is_safe
from driftline.access.principal import (
    TrustedProxy,
    read_group_roles,
    read_networks,
    system_user,
)
from driftline.access.tokens import read_token, token_of_file
from driftline.errors import InputError
from driftline.settings.settings import Settings

log = logging.getLogger(__name__)

SESSION = timedelta(hours=12)
"""After which a person must log in again."""


def authenticator(
    settings: Settings,
    engine: Engine,
    *,
    takes_cookies: bool = False,
    unseal: Callable[[str], str] = str,
) -> Authenticator | None:
    """Return the authenticator; None while authentication is off."""
    if settings.auth.mode == "off":
        return None
    return Authenticator(
        engine,
        lambda: datetime.now(UTC),
        proxy=trusted_proxy(settings) if settings.auth.mode == "proxy" else None,
        takes_cookies=takes_cookies,
        unseal=unseal,
    )


def register_token_file(settings: Settings, engine: Engine) -> None:
    """Make the secret in the token file valid on every server that shares the database."""
    if settings.auth.mode == "off":
        return
    secret, who = token_of_file(settings.token_file), f"{system_user()}@{platform.node()}"
    with engine.begin() as connection:
        found = register_token(connection, secret, now=datetime.now(UTC), created_by=who)
    if found.revoked_at is not None:
        log.warning(
            'token "%s" of %s was revoked; delete the file, and the next start makes another',
            found.name, settings.token_file,
        )  # fmt: skip


def trusted_proxy(settings: Settings) -> TrustedProxy:
    """Return whose headers are believed."""
    auth = settings.auth
    return TrustedProxy(
        read_networks(auth.proxy_networks),
        read_token(settings.folder / auth.proxy_secret_file),
        read_group_roles(auth.group_roles),
    )


def provider(settings: Settings) -> Provider | None:
    """Return where people log in by OpenID Connect; None where they do not."""
    auth = settings.auth
    if auth.mode != "oidc":
        return None
    if not is_safe(auth.oidc_issuer):
        raise InputError(f'[auth] oidc_issuer = "{auth.oidc_issuer}"; expected https://…')
    file = auth.oidc_client_secret_file
    return Provider(
        auth.oidc_issuer,
        auth.oidc_client_id,
        read_token(settings.folder / file) if file else "",
        redirect_uri=f"{settings.dashboard_link}/login/callback",
        scopes=" ".join(auth.oidc_scopes),
        user_claim=auth.oidc_user_claim,
        groups_claim=auth.oidc_groups_claim,
        group_roles=read_group_roles(auth.group_roles),
    )


def dashboard_access(settings: Settings, engine: Engine, writer: Engine) -> Access | None:
    """Return how people show the dashboard who they are; None while nobody is asked."""
    asked = authenticator(settings, engine, takes_cookies=True)
    if asked is None:
        return None
    return Access(
        asked,
        writer,
        length=SESSION,
        now=lambda: datetime.now(UTC),
        provider=provider(settings),
        is_https=settings.dashboard.external_url.startswith("https:"),
        hosts=settings.own_hosts,
    )
