"""The Prometheus metrics of sidecar, sink and scheduler."""

from __future__ import annotations

import hmac
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, make_asgi_app

from driftline.app.listener import Server, listen
from driftline.capture.line.instruments import Counted, HostTaps, Spools
from driftline.errors import UnavailableError
from driftline.loopback import CHALLENGE, App, LocalOnly, Receive, Scope, Send, refuse
from driftline.settings.schema import Metrics
from driftline.settings.settings import Settings

log = logging.getLogger(__name__)

_STOP_S = 5.0
_JSON = [(b"content-type", b"application/json")]
PORT_OFFSETS = {"sidecar": 0, "sink": 1, "background": 2, "alarms": 4}
"""Above [metrics] port; 3 is the port of `driftline proxy`."""


def registry_of(settings: Settings, name: str) -> CollectorRegistry:
    """Return where a process counts; the spools of its host are in it, but for a sink's."""
    registry = CollectorRegistry()
    if name != "sink":
        registry.register(Spools(settings.spool_dir, settings.capture.spool_max_bytes))
        registry.register(HostTaps(settings.spool_dir))
    return registry


def observe(registry: CollectorRegistry, name: str, *counters: Mapping[str, int]) -> None:
    """Show what a process counts, and what works for it, added up."""

    def total() -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for one in counters:
            found.update(one)
        return found

    registry.register(Counted(f"driftline_{name}_", total, {}))


@contextmanager
def exposed(registry: CollectorRegistry, chosen: Metrics, name: str) -> Iterator[None]:
    """Answer scrapes of a process as long as the context lasts, in a thread beside its loops.

    A taken port costs the metrics, never the work: capture must not stop because another program
    listens there. With a token, its bearer is answered under any name and address; without one,
    only this machine.
    """
    if not chosen.port:
        yield
        return
    try:
        listener = listen(
            "metrics", chosen.host, chosen.port + PORT_OFFSETS[name],
            mend="set [metrics] port, 0 for none",
        )  # fmt: skip
    except UnavailableError as error:
        log.warning("process=%s goes without its metrics: %s", name, error)
        yield
        return
    app = _app(registry, chosen.token)
    server = Server(app if chosen.token else LocalOnly(app), lifespan="off", grace_s=1)
    # Only the main thread may be told by signals, and it has its own way to stop.
    thread = threading.Thread(target=server.run, args=([listener],), name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_S)
        listener.close()


def _app(registry: CollectorRegistry, token: str) -> App:
    metrics, expected = make_asgi_app(registry), f"Bearer {token}".encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        shown = dict(scope["headers"]).get(b"authorization", b"")
        if scope["path"] == "/healthz":
            await send({"type": "http.response.start", "status": 200, "headers": _JSON})
            await send({"type": "http.response.body", "body": b'{"status": "ok"}'})
        elif scope["path"] != "/metrics":
            await refuse(send, 404, "not_found", "see /metrics")
        elif token and not hmac.compare_digest(shown, expected):
            message = 'expected the header "Authorization: Bearer" with [metrics] token'
            await refuse(send, 401, "unauthorized", message, [CHALLENGE])
        else:
            await metrics(scope, receive, send)

    return answer
