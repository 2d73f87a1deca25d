"""A pager: takes signed webhooks on this machine and shows what a person on call would read.

It checks signatures with the public Standard Webhooks library, not with our own code, and counts
what came by webhook id, so that a message that was sent twice counts once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """One message, as far as a pager shows it."""

    webhook_id: str  # The same for every attempt to deliver the message.
    alarm: str
    severity: str  # "page" or "ticket".
    state: str
    before: str
    cause: str  # Empty when the message has none, as the link.
    link: str


class Receiver:
    """Listens on a free port of 127.0.0.1 while used as a context manager."""

    def __init__(self, secret: str, show: Callable[[Page], None]) -> None:
        self._webhook = Webhook(secret)
        self._show = show
        self._lock = threading.Lock()
        self._pages: dict[str, Page] = {}
        self._refused_count = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where webhooks are taken."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/pager"

    @property
    def pages(self) -> list[Page]:
        """The messages so far, each once, in the order in which they came."""
        with self._lock:
            return list(self._pages.values())

    @property
    def refused_count(self) -> int:
        """How many requests had a wrong signature or form."""
        with self._lock:
            return self._refused_count

    def take(self, body: bytes, headers: Mapping[str, str]) -> HTTPStatus:
        """Check and count one message; show it when it is new."""
        try:
            self._webhook.verify(body, dict(headers))
            message = json.loads(body)
            if message["type"] == "webhook.test":
                return HTTPStatus.NO_CONTENT  # No page: nobody is to be woken.
            page = _page(headers["webhook-id"], message)
        except (WebhookVerificationError, ValueError, KeyError, TypeError):
            with self._lock:
                self._refused_count += 1
            return HTTPStatus.BAD_REQUEST
        with self._lock:
            is_new = page.webhook_id not in self._pages
            self._pages.setdefault(page.webhook_id, page)
        if is_new:
            self._show(page)
        return HTTPStatus.NO_CONTENT

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                # Superscripts are digits, too, but no number.
                if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
                    self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                    return
                body = self.rfile.read(int(length))
                found = {name.lower(): value for name, value in self.headers.items()}
                self._answer(receiver.take(body, found))

            def _answer(self, status: HTTPStatus) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
                """Log nothing; what came is counted."""

        return Handler


def _page(webhook_id: str, message: Mapping[str, Any]) -> Page:
    data = message["data"]
    return Page(
        webhook_id=webhook_id,
        alarm=data["alarm"]["name"],
        severity=data["alarm"].get("severity") or "",
        state=data["state"]["new"],
        before=data["state"].get("old") or "",
        cause=data.get("cause") or "",
        link=(data.get("links") or {}).get("dashboard") or "",
    )
