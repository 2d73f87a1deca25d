"""One HTTP request of a notification: a pinned connection, a bounded answer."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from driftline.alerts.notify.addresses import Target
from driftline.alerts.notify.receivers.receiver import Answer

TOTAL_TIMEOUT_S = 15.0  # Standard Webhooks recommends 15 to 30 s.
_CONNECT_TIMEOUT_S = 5.0
_ANSWER_MAX_BYTES = 4096
_RETRY_AFTER_MAX_S = 3600.0
_RETRY_AFTER_STATUSES = frozenset({429, 502, 503, 504})


def new_transport(tls: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    """Make what requests go through: the bare transport, which keeps no connection.

    A whole client would also follow proxies of the environment and log the URL, whose path may be
    a secret. Connections are pooled by address, and two names may share one; a kept connection
    would carry a message to a host whose certificate was checked for another name.
    """
    return httpx.AsyncHTTPTransport(
        verify=tls, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )


async def post(
    transport: httpx.AsyncHTTPTransport,
    target: Target,
    *,
    headers: dict[str, str],
    body: bytes,
    now: datetime,
) -> Answer:
    """Send a message to a checked address; at most 4 kB of the answer are read."""
    timeout = httpx.Timeout(TOTAL_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    request = httpx.Request(
        "POST",
        target.pinned_url,
        content=body,
        headers={**headers, "host": target.host_header, "user-agent": "driftline"},
        extensions={"sni_hostname": target.server_name, "timeout": timeout.as_dict()},
    )
    response = await transport.handle_async_request(request)
    try:
        text = await _beginning(response)
    finally:
        await response.aclose()
    return Answer(response.status_code, text, _retry_after(response, now))


async def _beginning(response: httpx.Response) -> str:
    """Read the first bytes as they come over the wire: nothing is decompressed."""
    found = b""
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) >= _ANSWER_MAX_BYTES:
            break
    return found[:_ANSWER_MAX_BYTES].decode("utf-8", "replace")


def _retry_after(response: httpx.Response, now: datetime) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    if response.status_code not in _RETRY_AFTER_STATUSES or not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), _RETRY_AFTER_MAX_S)
    try:
        time = parsedate_to_datetime(text)
        aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        wait_s = (aware - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _RETRY_AFTER_MAX_S)
