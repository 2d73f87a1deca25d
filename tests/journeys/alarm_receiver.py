"""The receiver that flaps while evaluators and notifiers are killed."""

from __future__ import annotations

import json
import multiprocessing as mp
import random
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

__all__ = ["SECRET", "Receiver"]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# What it does, and how often out of a hundred: half of all is taken.
MANNERS = {"ok": 48, "500": 18, "503": 8, "reset": 12, "slow": 8, "late": 5, "hang": 1}


class Receiver(ThreadingHTTPServer):
    """Take messages in many manners, and write each down with the time and the answer."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, log: Path, calm: mp.synchronize.Event, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._calm = calm
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._book = log.open("a", encoding="utf-8", buffering=1)
        self._webhook = Webhook(SECRET)
        self._first = ["hang"]

    def next_manner(self) -> str:
        """Draw how the next message is answered; all are taken once it shall be calm."""
        with self._lock:
            if self._first:
                manner = self._first.pop()
            else:
                (manner,) = self._chance.choices([*MANNERS], MANNERS.values())
        return "ok" if self._calm.is_set() else manner

    def is_genuine(self, body: bytes, headers: dict[str, str]) -> bool:
        """Whether the signature is right."""
        try:
            self._webhook.verify(body, headers)
        except WebhookVerificationError:
            return False
        return True

    def write(self, line: dict[str, object]) -> None:
        """Note one message."""
        with self._lock:
            self._book.write(json.dumps(line) + "\n")


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        came = time.time()
        manner = self.server.next_manner()
        found = json.loads(body)
        line = {
            "id": self.headers["webhook-id"],
            "at": came,
            "manner": manner,
            "path": self.path,
            "genuine": self.server.is_genuine(body, dict(self.headers)),
            "type": found["type"],
            "alarm": found["data"].get("alarm", {}).get("name"),
            "seq": found["data"].get("seq"),
        }
        self.server.write(line)
        getattr(self, f"answer_{manner}", self.answer_status)(manner)

    def answer_status(self, manner: str) -> None:
        self.send_response(int(manner) if manner.isdigit() else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def answer_reset(self, _manner: str) -> None:
        linger = struct.pack("ii", 1, 0)  # Closing with it sends RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def answer_slow(self, _manner: str) -> None:
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        for _ in range(5):
            self.wfile.write(b".")
            self.wfile.flush()
            threading.Event().wait(0.1)

    def answer_late(self, manner: str) -> None:
        threading.Event().wait(1.0)
        self.answer_status(manner)

    def answer_hang(self, _manner: str) -> None:
        threading.Event().wait(18.0)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):  # The sender was killed meanwhile.
            self.close_connection = True

    def log_message(self, *_parts: object) -> None:
        pass
