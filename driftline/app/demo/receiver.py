"""A pager: receives signed webhooks on this machine and prints them.

It checks signatures with the public Standard Webhooks library, not with our own code, and counts by
webhook id, so that a repeated notification counts once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


class Pager:
    """Listens on a free port of 127.0.0.1 while used as a context manager."""

    def __init__(self, secret: str, say: Callable[[str], None]) -> None:
        self.ids: set[str] = set()
        self.refused_count = 0  # Wrong signature or form.
        self._webhook, self._say, self._lock = Webhook(secret), say, threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/pager"

    def __enter__(self) -> Pager:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Check and count one message, print it when it is new; return the status to answer."""
        try:
            self._webhook.verify(body, dict(headers))
            message = json.loads(body)
            page = "" if message["type"] == "webhook.test" else _page(message["data"])
        except (WebhookVerificationError, ValueError, KeyError, TypeError):
            with self._lock:
                self.refused_count += 1
            return 400
        with self._lock:
            is_new = bool(page) and headers["webhook-id"] not in self.ids
            if is_new:
                self.ids.add(headers["webhook-id"])
        if is_new:
            self._say(page)
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        pager = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(pager.take(body, headers))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
                """Log nothing; what came is counted."""

        return Handler


def _page(data: Mapping[str, dict[str, str]]) -> str:
    """Return what somebody on call would read: the alarm, its cause, and the link to the rows."""
    alarm, state = data["alarm"], data["state"]
    if state["new"] != "ALARM":
        return f"{state['new']:<8}{alarm['name']} (was {state['old']})"
    lines = [f"{alarm['severity'].upper():<8}{alarm['name']}", data["cause"]]
    return "\n        ".join(str(line) for line in (*lines, data["links"]["dashboard"]))
