"""A pager: prints signed webhooks, checked by the public Standard Webhooks library."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


class Pager(HTTPServer):
    """Listens on a free port of 127.0.0.1 while used as a context manager."""

    def __init__(self, secret: str, say: Callable[[str], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ids: set[str] = set()
        self.refused_count = 0  # Wrong signature or form.
        self.url = f"http://127.0.0.1:{self.server_port}/pager"
        self._webhook, self._say = Webhook(secret), say

    def __enter__(self) -> Pager:
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        """Check and count one message, print it when it is new; return the status to answer."""
        try:
            self._webhook.verify(body, headers)
            message = json.loads(body)
            page = "" if message["type"] == "webhook.test" else _page(message["data"])
        except (WebhookVerificationError, ValueError, KeyError, TypeError):
            self.refused_count += 1
            return 400
        if page and headers["webhook-id"] not in self.ids:
            self.ids.add(headers["webhook-id"])
            self._say(page)
        return 204


class _Handler(BaseHTTPRequestHandler):
    server: Pager
    timeout = 10.0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(self.server.take(body, headers))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Log nothing; what came is counted."""


def _page(data: Mapping[str, dict[str, str]]) -> str:
    alarm, state = data["alarm"], data["state"]
    if state["new"] != "ALARM":
        return f"{state['new']:<8}{alarm['name']} (was {state['old']})"
    lines = [f"{alarm['severity'].upper():<8}{alarm['name']}", data["cause"]]
    return "\n        ".join(str(line) for line in (*lines, data["links"]["dashboard"]))
