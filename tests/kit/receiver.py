"""A receiver of notifications; the public Standard Webhooks library checks their signatures."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

__all__ = ["SECRET", "Message", "Receiver"]

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@dataclass(frozen=True)
class Message:
    """One message as it came, whoever sent it."""

    path: str
    headers: dict[str, str]
    text: str
    is_genuine: bool  # Whether it carries the right signature.

    @property
    def id(self) -> str:
        """The same for every attempt to deliver the message."""
        return self.headers.get("webhook-id", "")

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""
        return json.loads(self.text)

    @property
    def data(self) -> dict[str, Any]:
        """What it says of the alarm."""
        return self.body.get("data", {})

    @property
    def alarm(self) -> str:
        """The name of the alarm."""
        return self.data.get("alarm", {}).get("name", "")

    @property
    def state(self) -> str:
        """The alarm's new state."""
        return self.data.get("state", {}).get("new", "")

    @property
    def cause(self) -> str:
        """The cause, empty when it has none."""
        return self.data.get("cause") or ""

    @property
    def link(self) -> str:
        """The page of the dashboard that it leads to."""
        return (self.data.get("links") or {}).get("dashboard") or ""


class Receiver:
    """Listens on a free port of 127.0.0.1 while used as a context manager.

    Parameters
    ----------
    answer
        Gives the status for a message; by default 204, or 400 for a wrong signature.
    """

    def __init__(self, answer: Callable[[Message], int] | None = None) -> None:
        self._answer = answer or (lambda message: 204 if message.is_genuine else 400)
        self._webhook, self._lock = Webhook(SECRET), threading.Lock()
        self._messages: list[Message] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def attempts(self) -> list[Message]:
        """All that came, in order."""
        with self._lock:
            return list(self._messages)

    @property
    def messages(self) -> list[Message]:
        """The genuine messages, each once, in the order in which they came; none of tests."""
        found: dict[str, Message] = {}
        for message in self.attempts:
            if message.is_genuine and message.body["type"] != "webhook.test":
                found.setdefault(message.id, message)
        return list(found.values())

    def channel(self, name: str = "pager", **spec: object) -> dict[str, Any]:
        """Return the resource of a channel that leads here."""
        known = {"type": "webhook", "url": self.url, "secret": SECRET}
        return {"kind": "Channel", "name": name, "spec": {**known, **spec}}

    def _take(self, message: Message) -> int:
        with self._lock:
            self._messages.append(message)
        return self._answer(message)

    def _is_genuine(self, text: str, headers: dict[str, str]) -> bool:
        try:
            self._webhook.verify(text, headers)
        except WebhookVerificationError:
            return False
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                is_genuine = receiver._is_genuine(text, headers)
                self.send_response(receiver._take(Message(self.path, headers, text, is_genuine)))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_parts: object) -> None:
                pass

        return Handler
