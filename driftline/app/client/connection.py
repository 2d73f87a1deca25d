"""The way to a running server: one connection, and its refusals as our own errors."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import httpx

from driftline.errors import (
    ConflictError,
    DriftlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
    UndecidedError,
)
from driftline.loopback import DEFAULT_SERVER, is_loopback
from driftline.validation import require_unicode

if TYPE_CHECKING:
    from driftline.settings.settings import Settings

# What a server answers, as it comes: docs/python-client.md.
Json = dict[str, Any]

_ERRORS: dict[int, type[DriftlineError]] = {
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    429: UnavailableError,
    500: DriftlineError,  # A defect of the server: trying again does not help.
}
# What a proxy answers for a server: of who asks, of a long body, of a server that is away.
_OF_PROXIES = frozenset({401, 413, 429, 502, 503, 504})

# What a server gives at once.
PAGE_MAX = 1000

# Fitting a baseline on a big file is one request; everything else answers in milliseconds.
_TIMEOUT_S, _CONNECT_S = 600.0, 5.0
_PORTS = {"http": 80, "https": 443}


def settings_here() -> Settings:
    """Return the settings of the working folder and of the environment."""
    # Imported here and below: most servers ask for no token.
    from driftline.settings.settings import load

    return load(environment=os.environ)


def find_token(server: str, settings: Settings) -> str | None:
    """Return the token for a server; None where there is none for it.

    The token of the settings goes to this machine, over TLS, and to hosts that the settings name;
    elsewhere others could read it on the way. This machine's own token, which may do everything,
    goes to the settings' own server alone.
    """
    address = urlsplit(server)
    host = address.hostname or ""
    if settings.auth.token:
        names = (settings.server.host, *settings.auth.hosts)
        if is_loopback(host) or address.scheme == "https" or host in map(str.lower, names):
            return settings.auth.token
        raise ForbiddenError(
            f"[auth] token is not sent to {server}, where others could read it on the way; "
            f'expected an https address, or "{host}" in [auth] hosts where the network is trusted'
        )
    own = urlsplit(settings.server_url)
    is_own = host == own.hostname or (is_loopback(host) and is_loopback(own.hostname or ""))
    port = address.port or _PORTS.get(address.scheme)
    if not (is_own and port == own.port and settings.token_file.exists()):
        return None
    from driftline.access.tokens import read_token

    try:
        return read_token(settings.token_file)
    except UnavailableError as error:
        raise ForbiddenError(
            f"{error}; or set DRIFTLINE_AUTH__TOKEN to a token of your own"
        ) from error


class _Token(httpx.Auth):
    """Shows a token; one of the settings only to a server that asks for one."""

    def __init__(
        self, server: str, token: str | None, settings: Callable[[], Settings] | None
    ) -> None:
        self._server = server
        self._headers = {} if token is None else _bearer(token)
        self._settings = settings if token is None else None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request, and again with the token that was found."""
        if "authorization" not in request.headers:
            request.headers.update(self._headers)
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and self._settings is not None:
            settings, self._settings = self._settings(), None
            if (token := find_token(self._server, settings)) is not None:
                self._headers = _bearer(token)
                request.headers.update(self._headers)
                yield request


class ServerCalls:
    """One connection to a server; its subclasses hold the calls."""

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        token: str | None = None,
        settings: Callable[[], Settings] | None = settings_here,
        ca_file: Path | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self.server = _address(server)
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S))
        if ca_file is None and settings is not None and self.server.startswith("https:"):
            ca_file = settings().ca_file
        verify = trusted_certificates(self.server, ca_file)
        auth = _Token(self.server, token, settings)
        self._http = httpx.Client(base_url=self.server, timeout=timeout, verify=verify, auth=auth)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        token: str | None = None,
        if_match: str | None = None,
    ) -> Json:
        """Send one request and return its JSON answer, {} where there is none, with its ETag."""
        headers = {} if token is None else _bearer(token)
        headers |= {} if if_match is None else {"if-match": if_match}
        response = self._call(method, path, json=body, headers=headers)
        tag = response.headers.get("etag")
        return _object(response) | ({} if tag is None else {"etag": tag})

    def read(self, path: str, token: str | None = None) -> str:
        """Return what a path of the server answers, as text; ``token`` is as in `send`."""
        headers = {} if token is None else _bearer(token)
        return self._call("GET", path, headers=headers).text

    def ask(self, row: Mapping[str, Any], given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Ask an operation of the table; a list comes whole, or as long as its limit."""
        path, fields, document = row["path"], dict[str, Any](), None
        for one in row["parameters"]:
            name, value = one["name"], given[one["name"]]
            if one["in"] == "path":
                text = value if one["kind"] == "str" else str(value)
                path = path.replace(f"{{{name}}}", in_path(text))
            elif one["in"] == "document":
                document = plain(value)
            elif value is not None:
                fields[one.get("alias", name)] = plain(value)
        if row["is_paged"]:
            found = self._pages(path, fields, given["limit"])
        else:
            place = "params" if row["method"] in ("GET", "DELETE") else "json"
            sent = fields if document is None else document
            found = self._json(row["method"], path, **{place: sent})
        return found["items"] if row["is_list"] else found

    def _pages(self, path: str, params: Mapping[str, Any], limit: int | None) -> Json:
        """Return the first page of a list with the items of all pages, so many at most."""
        items: list[Json] = []
        found: Json = {}
        asked = params
        while limit is None or len(items) < limit:
            count = PAGE_MAX if limit is None else min(PAGE_MAX, limit - len(items))
            page = self._json("GET", path, params={**asked, "limit": count})
            if "items" not in page:
                raise DriftlineError(f"{self.server} is no driftline server: it lists no items")
            items += page["items"]
            found = {**page, **found}
            if (token := page.get("next_token")) is None:
                break
            asked = {**params, "next_token": token}
        return {**found, "items": items, "next_token": None}

    def _json(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401 - httpx's own options
        return _object(self._call(method, path, **options))

    def _stream(self, path: str, params: Mapping[str, Any], *, again: str) -> Iterator[bytes]:
        """Return a long answer in pieces; ``again`` is what to do when it breaks off."""
        try:
            with self._http.stream("GET", path, params=dict(params)) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self.server} broke off ({error}); {again}") from error

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own options
        asked = [options.get("json"), options.get("params")]
        require_unicode(asked, "the request", is_finite=True)
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"no server answers at {self.server} ({error}); start one with: driftline up; or "
                "see http or https in its address, and [server] tls_ca_file"
            ) from error
        if not response.is_success:
            raise refusal(response)
        return response


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value as JSON has it: lists of what can be gone through, times as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    # An array, or a number of numpy's; its own times would lose their unit.
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if hasattr(value, "tolist") and kind not in ("m", "M"):
        listed = value.tolist()
        if type(listed) is not type(value):
            return plain(listed)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(one) for one in value]
    raise InputError(f"{value!r:.80}: JSON holds no {type(value).__name__}; give a text or number")


def _bearer(token: str) -> dict[str, str]:
    if not token.isascii() or not token.isprintable():
        raise InputError("the token has signs that no token has; expected it as it was printed")
    return {"authorization": f"Bearer {token.strip()}"}


def _address(server: str) -> str:
    """Read ``localhost:8080`` as the address that it is short for."""
    text = str(server)
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f'server "{server}": expected an address such as {DEFAULT_SERVER}')
    return str(url).rstrip("/")


def trusted_certificates(server: str, ca_file: Path | None = None) -> ssl.SSLContext | bool:
    """Return the authorities that httpx checks a server by, read (20 ms) only for https."""
    if not server.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise InputError(
            f"[server] tls_ca_file {ca_file}: {error.strerror}; expected certificates in PEM"
        ) from error


def in_path(name: str) -> str:
    """Write a name as one step of a path; dots alone would be a step back."""
    if not isinstance(name, str):
        raise InputError(f"name or id {name!r}: expected a text, as it was given or returned")
    require_unicode(name, "a name")
    return quote(name, safe="").replace(".", "%2E")


def api_path(*steps: str) -> str:
    """Return the path of the programming interface that these steps lead along."""
    return "/".join(("/api/v1", *map(in_path, steps)))


def refusal(response: httpx.Response) -> DriftlineError:
    """Return the error that a response tells of, with the server's sentence."""
    status = response.status_code
    try:
        error = response.json()["error"]
        code, message = error["code"], str(error["message"])
    except (ValueError, KeyError, TypeError):
        if status not in _OF_PROXIES:
            return foreign(response)
        code, message = "", f"the server answered {status} to {response.request.url}"
    if code == "undecided":
        return UndecidedError(message)
    if status == httpx.codes.UNAUTHORIZED:
        message = (
            f"{response.request.url} wants a token that it knows; set DRIFTLINE_AUTH__TOKEN to "
            "yours (an admin makes one: driftline token create NAME --role ROLE)"
        )
    return _ERRORS.get(status, UnavailableError if status > 500 else InputError)(message)


def _object(response: httpx.Response) -> Json:
    """Return the JSON object that a path of the programming interface answers; {} for nothing."""
    try:
        found = response.json() if response.content else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise foreign(response)
    return found


def foreign(response: httpx.Response) -> DriftlineError:
    """Return the error of an answer that no driftline server gives."""
    status, url = response.status_code, response.request.url
    server = f"{url.scheme}://{url.netloc.decode()}"
    return DriftlineError(f"{server} is no driftline server: it answered {status} to {url.path}")
