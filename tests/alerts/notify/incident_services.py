"""PagerDuty as its documents describe it, on this machine.

PagerDuty: its OpenAPI document (PagerDuty/api-schema, reference/events-v2/openapiv3.json: fields,
enumerations, what is required, 202, 400 and 429) and "Events API v2 Overview" (summary of at most
1,024 characters, dedup_key of 255).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler

from tests.servers.answering import served

__all__ = ["KEY", "IncidentService", "pagerduty"]

KEY = "e93facc04764012d7bfb002500d5d1a6"  # PagerDuty's own example.


@dataclass
class IncidentService:
    """What was asked of the service, and which incidents are open."""

    url: str = ""
    requests: list[dict[str, object]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    opened: dict[str, int] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    busy: int = 0

    def trigger(self, key: str) -> None:
        """Open an incident, or add to the one that is open."""
        if key not in self.open:
            self.opened[key] = self.opened.get(key, 0) + 1
        self.open.add(key)


def _problem_of_event(event: dict[str, object]) -> str | None:
    known = {
        "payload", "routing_key", "event_action", "dedup_key", "client", "client_url", "links",
        "images",
    }  # fmt: skip
    if not set(event) <= known:
        return f"unknown {set(event) - known}"
    if event.get("routing_key") != KEY:
        return "Invalid routing key"
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        return "event_action"
    if not isinstance(event.get("dedup_key"), str) or len(event["dedup_key"]) > 255:
        return "dedup_key"
    payload = event.get("payload")
    if not isinstance(payload, dict) or not {"summary", "severity", "source"} <= set(payload):
        return "payload"
    texts = {"summary", "timestamp", "severity", "source", "component", "group", "class"}
    if not set(payload) <= texts | {"custom_details"}:
        return f"unknown {set(payload) - texts}"
    if not all(isinstance(payload[one], str) for one in texts & set(payload)):
        return "payload is no text"
    if not 1 <= len(payload["summary"]) <= 1024 or not payload["source"]:
        return "summary"
    if payload["severity"] not in ("critical", "warning", "error", "info"):
        return "severity"
    if not isinstance(payload.get("custom_details", {}), dict):
        return "custom_details"
    datetime.fromisoformat(payload.get("timestamp", "2026-01-01T00:00:00Z"))
    for link in event.get("links", []):
        if not isinstance(link.get("href"), str) or not set(link) <= {"href", "text"}:
            return "links"
    return None


def _answer_event(service: IncidentService, handler: BaseHTTPRequestHandler, body: bytes):
    event = json.loads(body)
    if handler.path != "/v2/enqueue":
        return 404, {"status": "not found"}
    if problem := _problem_of_event(event):
        service.refused.append(problem)
        return 400, {"status": "invalid event", "message": "Event object is invalid",
                     "errors": [problem]}  # fmt: skip
    service.requests.append(event)
    if event["event_action"] == "resolve":
        service.open.discard(event["dedup_key"])
    else:
        service.trigger(event["dedup_key"])
    return 202, {"status": "success", "message": "Event processed",
                 "dedup_key": event["dedup_key"]}  # fmt: skip


@contextmanager
def _serve(answer) -> Iterator[IncidentService]:
    service = IncidentService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if service.busy:
                service.busy -= 1
                status, said = 429, {"message": "Too many API calls at a time."}
            else:
                status, said = answer(service, self, body)
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    with served(Handler) as service.url:
        yield service


def pagerduty():
    """Serve PagerDuty's Events API v2."""
    return _serve(_answer_event)
