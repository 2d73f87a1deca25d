"""A database, a clock that stands still, and a real HTTP receiver on this machine."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from driftline.alerts.alarms import records as alarms
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify import channels
from driftline.alerts.notify.deliverer import Deliverer
from tests.clock import Clock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FIXTURES = Path(__file__).parent.parent / "fixtures" / "alerts"
DAY_S = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Receiver:
    """A receiver of webhooks: answers as scripted, 204 when the script is at its end."""

    url: str
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    script: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    after_answer: Callable[[], None] = lambda: None

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]


class Server(ThreadingHTTPServer):
    """One that does not refuse when many knock at the same moment."""

    request_queue_size = 128


def _serve(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {key.lower(): value for key, value in self.headers.items()}
            receiver.requests.append((headers, body))
            receiver.on_request()
            status, more = receiver.script.pop(0) if receiver.script else (204, {})
            self.send_response(status)
            for key, value in more.items():
                self.send_header(key, value)
            self.send_header("content-length", "0")
            self.end_headers()
            self.wfile.flush()
            receiver.after_answer()

        def log_message(self, *parts):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from _serve()


@pytest.fixture
def other_receiver() -> Iterator[Receiver]:
    yield from _serve()


@pytest.fixture
def tls_receiver() -> Iterator[Receiver]:
    """A receiver with a certificate for hooks.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FIXTURES / "tls_certificate.pem", FIXTURES / "tls_key.pem")
    yield from _serve(context)


@dataclass
class House:
    """What a test says in one line: an alarm, a channel, some datapoints."""

    engine: Engine
    clock: Clock
    day: datetime = datetime(2013, 1, 1, tzinfo=UTC)

    def channel(self, name: str, url: str, **more) -> channels.Channel:
        channel = channels.Channel(name, url, more.pop("secret", SECRET), **more)
        with self.engine.begin() as connection:
            return channels.put_channel(connection, channel, self.clock())

    def alarm(self, name: str = "drift", **more) -> alarms.AlarmRecord:
        with self.engine.begin() as connection:
            return alarms.put_alarm(connection, definition(alarm_name=name, **more), self.clock())

    def put(self, *values: float | None, day: int = 0, **more) -> None:
        """Put one value a day; each is a source of its own, None is no datapoint."""
        for number, value in enumerate(values, start=day):
            if value is not None:
                self.put_one(value, day=number, **more)

    def put_one(self, value: float, *, day: int, name: str = "drift", **more) -> None:
        time = self.day + timedelta(days=day)
        more = {"period_s": DAY_S} | more
        point = Datapoint("Driftline", name, {"Endpoint": "flights"}, time, value=value, **more)
        with self.engine.begin() as connection:
            metrics.put(connection, [point], source=f"monitor:{name}/{time:%Y%m%d}")

    def get(self, name: str = "drift") -> alarms.AlarmRecord:
        with self.engine.begin() as connection:
            return alarms.get_alarm(connection, name)


def definition(**more) -> AlarmDefinition:
    fields = {
        "alarm_name": "drift",
        "namespace": "Driftline",
        "metric_name": "drift",
        "dimensions": {"Endpoint": "flights"},
        "period": DAY_S,
        "evaluation_periods": 1,
        "threshold": 0.5,
        "comparison_operator": "GreaterThanThreshold",
    }
    return AlarmDefinition(**(fields | more))


@pytest.fixture
def house(engine: Engine, clock: Clock) -> House:
    return House(engine, clock)


@pytest.fixture
def define() -> Callable[..., AlarmDefinition]:
    return definition


@pytest.fixture
def secret() -> str:
    return SECRET


@pytest.fixture
def fixtures() -> Path:
    return FIXTURES


@pytest.fixture
def evaluator(engine, clock):
    return Evaluator(engine, now=clock, dashboard_url="http://127.0.0.1:8081")


@pytest.fixture
def deliverer(engine, clock):
    return Deliverer(
        engine, now=clock, allow_networks=["127.0.0.0/8"], rng=np.random.default_rng(20130101)
    )


@pytest.fixture
def pager(house, receiver):
    """An alarm whose changes to ALARM and OK go to the receiver."""
    house.channel("pager", receiver.url)
    house.alarm(alarm_actions=("pager",), ok_actions=("pager",))
    return receiver
