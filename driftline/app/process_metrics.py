"""The Prometheus metrics of sidecar, sink and scheduler."""

from __future__ import annotations

import hmac
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_asgi_app

from driftline.app.listener import Server, listen
from driftline.capture.line.instruments import Counted, HostTaps, Spools
from driftline.errors import UnavailableError
from driftline.loopback import (
    CHALLENGE,
    App,
    LocalOnly,
    Receive,
    Scope,
    Send,
    refuse,
    require_loopback,
)
from driftline.settings.settings import Settings

if TYPE_CHECKING:
    from driftline.capture.line.producer import Producer
    from driftline.capture.line.sidecar import Sidecar

log = logging.getLogger(__name__)

_STOP_S = 5.0
_JSON = [(b"content-type", b"application/json")]
PORT_OFFSETS = {"sidecar": 0, "sink": 1, "background": 2, "alarms": 4}
"""Above [metrics] port; 3 is the port of `driftline proxy`."""
_SIDECAR = {
    "acked": "Records and gaps that the broker has acknowledged.",
    "failures": "Times that the broker took nothing, and was waited for.",
    "producers": "Producers made: one at the start, one more after each failure.",
    "letters": "Messages sent.",
    "refused": "Messages that the broker refused.",
    "light": "Records sent without their bodies, being too large.",
    "dead_letters": "Records set aside because no broker would take them.",
    "redacted": "Records that rules have changed.",
    "redaction_failed": "Records whose bodies were taken out because a rule could not be applied.",
}
_SINK = {
    "records": "Requests stored.",
    "rows": "Rows stored.",
    "gaps": "Gaps stored, each some lost requests.",
    "commits": "Commits of rows.",
    "duplicates": "Records that came again, and were dropped.",
    "failures": "Times that something was waited out and tried again.",
    "letters": "Messages read from the broker.",
    "poison": "Messages that cannot be read, and were set aside.",
    "rebalances": "Times that partitions were given to this sink.",
    "compacted": "Small files put together.",
    "vacuumed": "Files deleted that nobody reads any more.",
    "expired": "Rows removed by retention.",
    "redacted": _SIDECAR["redacted"],
    "redaction_failed": _SIDECAR["redaction_failed"],
}


def registry_of(settings: Settings, name: str) -> CollectorRegistry:
    """Return where a process counts; the spools of its host are in it, but for a sink's."""
    registry = CollectorRegistry()
    if name != "sink":
        registry.register(Spools(settings.spool_dir, settings.capture.spool_max_bytes))
        registry.register(HostTaps(settings.spool_dir))
    return registry


def observe_sidecar(
    registry: CollectorRegistry, sidecar: Sidecar, sender: Producer, redacted: Mapping[str, int]
) -> None:
    """Show a sidecar; ``redacted``: what its rules have counted."""

    def counters() -> Mapping[str, int]:
        sent = sender.counters
        return {
            "acked": sidecar.counters["records"],
            "failures": sidecar.counters["failures"],
            "producers": sender.made,
            **{name: sent[name] for name in ("letters", "refused", "light")},
            "dead_letters": sent["poison"],
            **redacted,
        }

    registry.register(Counted("driftline_sidecar_", counters, _SIDECAR))


def observe_sink(registry: CollectorRegistry, *counters: Mapping[str, int]) -> None:
    """Show what a sink counts, and what works for it."""

    def total() -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for one in counters:
            found.update(one)
        return found

    registry.register(Counted("driftline_sink_", total, _SINK))


@contextmanager
def shown(registry: CollectorRegistry, settings: Settings, name: str) -> Iterator[None]:
    """Answer scrapes of a process as long as the context lasts."""
    chosen = settings.metrics
    port = chosen.port and chosen.port + PORT_OFFSETS[name]
    with exposed(registry, name, chosen.host, port, chosen.token):
        yield


@contextmanager
def exposed(
    registry: CollectorRegistry, name: str, host: str, port: int, token: str = ""
) -> Iterator[None]:
    """Answer scrapes as long as the context lasts, in a thread of its own beside the loops.

    A taken port costs the metrics, never the work: capture must not stop because another program
    listens there. With a token, its bearer is answered under any name and address; without one,
    only this machine.
    """
    if not token:
        require_loopback("metrics", host)
    if not port:
        yield
        return
    try:
        listener = listen("metrics", host, port, mend="set [metrics] port, 0 for none")
    except UnavailableError as error:
        log.warning("process=%s goes without its metrics: %s", name, error)
        yield
        return
    app = _app(registry, token)
    server = Server(app if token else LocalOnly(app), lifespan="off", grace_s=1)
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
    """Return what answers /healthz to anybody, and /metrics to who shows the token, if any."""
    metrics, expected = make_asgi_app(registry), f"Bearer {token}".encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            await send({"type": "http.response.start", "status": 200, "headers": _JSON})
            await send({"type": "http.response.body", "body": b'{"status": "ok"}'})
        elif scope["path"] != "/metrics":
            await refuse(send, 404, "not_found", "see /metrics")
        elif token and not hmac.compare_digest(
            dict(scope["headers"]).get(b"authorization", b""), expected
        ):
            message = 'expected the header "Authorization: Bearer" with [metrics] token'
            await refuse(send, 401, "unauthorized", message, [CHALLENGE])
        else:
            await metrics(scope, receive, send)

    return answer
