"""Logging in by OpenID Connect: the code flow with PKCE, and what an ID token says.

OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE); RFC 9207 (``iss`` of the answer).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import httpx

from driftline.access.principal import GroupRoles, Principal, roles_of
from driftline.errors import ForbiddenError, UnavailableError
from driftline.loopback import is_loopback

# Signed with a key that the provider alone has: no "none", and no HS…, whose key would be one of
# those that everybody may read.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
LEEWAY_S = 30
"""So far the provider's clock may be off."""
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A log-in under way: a secret that a browser keeps in a cookie, and where it leads to."""

    secret: str
    to: str

    @classmethod
    def begin(cls, to: str) -> Attempt:
        """Return a new one, which leads on to a page."""
        return cls(secrets.token_urlsafe(32), to)

    def of(self, purpose: str) -> str:
        """Return the state, nonce or verifier; none of them tells another, nor the secret."""
        return hmac.new(self.secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()

    def cookie(self) -> str:
        """Return it as the value of a cookie."""
        return f"{self.secret}:{quote(self.to, safe='')}"

    @classmethod
    def read(cls, cookie: str) -> Attempt | None:
        """Return what a cookie holds; None where it is none of ours."""
        secret, _, to = cookie.partition(":")
        return cls(secret, unquote(to)) if secret else None


@dataclass(slots=True)
class Provider:
    """An OpenID provider: its issuer, and our client there."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str
    scopes: str
    user_claim: str
    groups_claim: str
    group_roles: GroupRoles

    @property
    def host(self) -> str:
        """The issuer's host, as people know it."""
        return urlsplit(self.issuer).netloc

    async def begin(self, attempt: Attempt) -> str:
        """Return the address where a person logs in."""
        challenge = hashlib.sha256(attempt.of("verifier").encode()).digest()
        asked = {
            "response_type": "code", "client_id": self.client_id, "scope": self.scopes,
            "redirect_uri": self.redirect_uri, "code_challenge_method": "S256",
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "state": attempt.of("state"), "nonce": attempt.of("nonce"),
        }  # fmt: skip
        address = self._place(await self._discover(), "authorization_endpoint")
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    async def finish(self, attempt: Attempt | None, answer: Mapping[str, str]) -> Principal:
        """Return who has logged in; ForbiddenError: answer or ID token are not valid."""
        state = answer.get("state", "").encode()
        if attempt is None or not hmac.compare_digest(state, attempt.of("state").encode()):
            raise ForbiddenError("this is no answer to a log-in of this browser")
        if answer.get("iss", self.issuer) != self.issuer:
            raise ForbiddenError("the answer is another provider's")
        if "code" not in answer:
            reason = answer.get("error_description") or answer.get("error") or "no code"
            raise ForbiddenError(f"the provider says {reason[:200]!r}")
        return self._principal(await self._claims(answer["code"], attempt))

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        """Return whom an ID token is of."""
        user = claims.get(self.user_claim)
        if not isinstance(user, str) or not user:
            raise ForbiddenError(f'the ID token has no "{self.user_claim}"; set oidc_user_claim')
        if self.user_claim == "email" and claims.get("email_verified") is not True:
            raise ForbiddenError(f"the provider has not verified {user[:255]}; set oidc_user_claim")
        groups = claims.get(self.groups_claim)
        listed = groups if isinstance(groups, list) else [groups]
        named = [one for one in listed if isinstance(one, str)]
        return Principal(user[:255], roles_of(named, self.group_roles), via="oidc")

    async def _claims(self, code: str, attempt: Attempt) -> dict[str, Any]:
        """Exchange a code for an ID token, and return what that says once it is believed."""
        body = {
            "grant_type": "authorization_code", "code": code, "client_id": self.client_id,
            "redirect_uri": self.redirect_uri, "code_verifier": attempt.of("verifier"),
        }  # fmt: skip
        pair = quote(self.client_id, safe=""), quote(self.client_secret, safe="")
        document = await self._discover()
        place = self._place(document, "token_endpoint")
        auth = pair if self.client_secret else None
        found = await _json("POST", place, data=body, auth=auth)
        # Asked for with each log-in: so a key that was exchanged is known at once.
        keys = await _json("GET", self._place(document, "jwks_uri"))
        return _believed(found.get("id_token"), keys, self, attempt.of("nonce"))

    def _place(self, document: Mapping[str, Any], name: str) -> str:
        place = document.get(name)
        if not isinstance(place, str) or not is_safe(place):
            raise UnavailableError(f"{self.issuer} names no {name} that is safe: {place!r:.200}")
        return place

    async def _discover(self) -> dict[str, Any]:
        """Return the provider's own description of itself."""
        address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = await _json("GET", address)
        if found.get("issuer") != self.issuer:
            raise UnavailableError(
                f'{address} describes "{str(found.get("issuer"))[:200]}"; expected '
                f'"{self.issuer}", as [auth] oidc_issuer says'
            )
        return found


def is_safe(address: str) -> bool:
    """Whether what is sent to an address cannot be read on its way."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def _believed(text: object, keys: Any, ours: Provider, nonce: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the claims of an ID token; refuse one that the provider did not issue for us, now."""
    # Imported here: most installations have no provider.
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    values = {"iss": ours.issuer, "aud": ours.client_id, "nonce": nonce}
    asked: Any = {name: {"essential": True, "value": value} for name, value in values.items()}
    asked |= {name: {"essential": True} for name in ("exp", "iat", "sub")}
    try:
        token = jwt.decode(str(text), KeySet.import_key_set(keys), ALGORITHMS)
        jwt.JWTClaimsRegistry(leeway=LEEWAY_S, **asked).validate(token.claims)
    except (JoseError, KeyError, TypeError, ValueError) as error:
        raise ForbiddenError(f"the ID token is not to be believed: {error}") from error
    # Where it is for several, the one that it was made for is named.
    is_ours = token.claims["aud"] in (ours.client_id, [ours.client_id])
    if token.claims.get("azp", ours.client_id if is_ours else None) != ours.client_id:
        raise ForbiddenError("the ID token is not to be believed: it was made for another client")
    return dict(token.claims)


async def _json(method: str, address: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own options
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
            answer = await client.request(method, address, **options)
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UnavailableError(f"the provider does not answer at {address}: {error}") from error
    if not isinstance(found, dict) or not answer.is_success:
        said = str(found.get("error", "")) if isinstance(found, dict) else ""
        raise ForbiddenError(f"{address} answered {answer.status_code} {said[:100]}".rstrip())
    return found
