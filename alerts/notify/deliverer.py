"""The deliverer: sends what is in the outbox, retries on a schedule, gives up in the end."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection, Engine, update

from driftline.alerts import tables
from driftline.alerts.alarms.records import HistoryItem, add_history
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify import outbox, resending
from driftline.alerts.notify.addresses import AddressGuard, Resolver
from driftline.alerts.notify.channels import open_channels
from driftline.alerts.notify.deliveries import AttemptRecord, add_attempt, result_of
from driftline.alerts.notify.outbox import Claim
from driftline.alerts.notify.receivers.receiver import Answer, OpenChannel, Outgoing
from driftline.alerts.notify.rows import is_past
from driftline.alerts.notify.secrets import Vault
from driftline.alerts.notify.senders import Sender, Transports, open_sender
from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.tracing import note_end, span

log = logging.getLogger(__name__)

# Wait before each attempt, in seconds: Standard Webhooks' example with a denser head, because an
# alarm that is five minutes late is late.
ATTEMPT_DELAYS_S = (0, 5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400)
_JITTER = (0.8, 1.2)
# Programs take turns of eight: so many come to their end within a lease, three rounds of 15 s.
AT_ONCE = 20
CHANNEL_AT_ONCE = 8
# Receivers that are quick answer together; so their next messages are claimed together.
_TOGETHER_S = 0.02


class Deliverer:
    """Sends messages; one call of :meth:`step` is one pass over those that are due."""

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        allow_networks: Iterable[str] = (),  # CIDR; reachable although not public.
        rng: np.random.Generator | None = None,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        poll_s: float = 1.0,
        vault: Vault | None = None,
        commands: Mapping[str, str] | None = None,
        # Before each attempt; after the last one a message is given up.
        delays_s: Sequence[float] = ATTEMPT_DELAYS_S,
        lease_s: float = outbox.LEASE_S,  # Longer than any attempt takes.
    ) -> None:
        self._engine = engine
        self._now = now
        networks = tuple(allow_networks)
        guard = AddressGuard(networks, resolver=resolver)
        self._transports = Transports(guard, networks, dict(commands or {}), tls)
        self._vault = vault or Vault()
        self._rng = rng if rng is not None else np.random.default_rng()
        self._poll_s = poll_s
        self._delays_s, self._lease_s = tuple(delays_s), lease_s
        self._resent_at: datetime | None = None
        # Few, so that they do not stand in line at the database with a connection each.
        self._writers = ThreadPoolExecutor(4, thread_name_prefix="delivery")
        self.failures = FailedPasses(log, "deliverer")

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped; a failed pass is counted, logged and tried again."""
        asyncio.run(self._deliver(stop))

    async def _deliver(self, stop: threading.Event) -> None:
        """Begin what is due while earlier sends go on: a slow receiver delays no other."""
        # Names that are looked up in vain hold a thread each, longer than their message waits.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * AT_ONCE))
        in_flight = InFlight(self.failures.failed)
        resent: asyncio.Task[int] | None = None
        async with open_sender(self._transports) as sender:
            while not stop.is_set():
                claims: Sequence[Claim] = ()
                try:
                    claims = await asyncio.to_thread(
                        self._claim, in_flight.free, in_flight.by_channel, CHANNEL_AT_ONCE
                    )
                    await self._begin(sender, in_flight, claims)
                    if resent is None or resent.done():
                        before, resent = resent, asyncio.create_task(asyncio.to_thread(self.resend))
                        if before is not None:
                            before.result()  # It raises what went wrong.
                except Exception as error:  # noqa: BLE001 - what stops it would silence every alarm
                    self.failures.failed(error)
                if not claims:
                    await in_flight.wait(stop, self._poll_s)
            await in_flight.end()

    def _claim(
        self, limit: int, busy: Mapping[str, int] | None = None, share: int | None = None
    ) -> Sequence[Claim]:
        if not limit:
            return ()
        with read_connection(self._engine) as connection:
            if not outbox.is_any_due(connection, self._now()):
                return ()
        with self._engine.begin() as connection:
            return outbox.claim(
                connection,
                self._now(),
                limit=limit,
                lease_s=self._lease_s,
                busy=busy or {},
                share=share or limit,
            )

    async def _begin(self, sender: Sender, in_flight: InFlight, claims: Sequence[Claim]) -> None:
        if claims:
            found = await asyncio.to_thread(self._open, [claim.channel for claim in claims])
            for claim in claims:
                in_flight.begin(claim.channel, self._send(sender, claim, found.get(claim.channel)))

    def step(self) -> int:
        """Try each message that is due once; return how many were tried."""
        claims = self._claim(AT_ONCE)
        if claims:
            asyncio.run(self._send_all(claims))
        return len(claims)

    def resend(self) -> int:
        """Send Alertmanagers again what still fires, once a minute; return how many alerts."""
        now = self._now()
        if not is_past(self._resent_at, resending.EVERY, now):
            return 0
        self._resent_at = now
        with read_connection(self._engine) as connection:
            firing = resending.firing(connection)
            channels = open_channels(connection, (one.channel for one in firing), self._vault)
        if firing:
            return asyncio.run(resending.resend(self._transports, firing, channels, now))
        return 0

    async def _send_all(self, claims: Sequence[Claim]) -> None:
        """Send together, so that a slow receiver delays no other notification."""
        names = [claim.channel for claim in claims]
        channels = await asyncio.to_thread(self._open, names)
        async with open_sender(self._transports) as sender:
            sends = (self._send(sender, claim, channels.get(claim.channel)) for claim in claims)
            ends = await asyncio.gather(*sends, return_exceptions=True)
        # All have come to their end before the first trouble is reported.
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    def _open(self, names: Sequence[str]) -> dict[str, OpenChannel | Exception]:
        with read_connection(self._engine) as connection:
            return open_channels(connection, names, self._vault)

    async def _send(
        self, sender: Sender, claim: Claim, channel: OpenChannel | Exception | None
    ) -> None:
        start = time.perf_counter()
        answer: Answer | None = None
        if isinstance(channel, OpenChannel):
            message = Outgoing(claim.id, claim.body, claim.content_type)
            with span(
                "delivery", parent=claim.traceparent, kind="CLIENT", alarm=claim.alarm_name,
                channel=claim.channel, message_id=claim.id, attempt=claim.attempts,
            ) as traced:  # fmt: skip
                answer, error = await sender.send(channel, message, self._now())
                status = answer.status if answer is not None and answer.is_http else None
                note_end(traced, status, is_error=answer is None or not answer.is_success)
        else:
            error = str(channel) if channel is not None else "channel does not exist"
        took_ms = round((time.perf_counter() - start) * 1000)
        # In a thread, so that a busy database does not use up the others' time limits.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writers, self._mark, claim, answer, error, took_ms)

    def _mark(
        self, claim: Claim, answer: Answer | None, error: str | None, took_ms: int = 0
    ) -> None:
        """Store the end of an attempt: delivered, to be retried, or given up."""
        now = self._now()
        with self._engine.begin() as connection:
            outbox.hold_channel(connection, claim.channel)
            if answer is not None and answer.is_success:
                status = self._mark_delivered(connection, claim, answer, now)
            else:
                status = self._mark_failed(connection, claim, answer, error, now)
            result = result_of(answer, error)
            attempt = AttemptRecord(
                claim.id, claim.channel, claim.attempts, now, took_ms, status, *result
            )
            add_attempt(connection, attempt)
        log.info(
            "delivery_attempted id=%s alarm=%r channel=%s attempt=%d status=%s http=%s error=%s",
            claim.id,
            claim.alarm_name,
            claim.channel,
            claim.attempts,
            status,
            answer.status if answer is not None else None,
            error,
        )

    def _mark_delivered(
        self, connection: Connection, claim: Claim, answer: Answer, now: datetime
    ) -> str:
        values = _values("delivered", answer, None) | {"finished_at": now}
        if not outbox.finish(connection, claim, values):
            return "lease_lost"
        _set_failures(connection, claim.channel, None)
        _add_action(connection, claim, now, error=None)
        return "delivered"

    def _mark_failed(
        self,
        connection: Connection,
        claim: Claim,
        answer: Answer | None,
        error: str | None,
        now: datetime,
    ) -> str:
        is_gone = answer is not None and answer.is_gone
        is_refused = answer is not None and answer.is_refused
        has_failed = is_refused or claim.attempts >= len(self._delays_s)
        error = answer.problem if answer is not None else error
        values = _values("failed" if has_failed else "pending", answer, error)
        if has_failed:
            values["finished_at"] = now
        else:
            values["next_attempt_at"] = now + timedelta(seconds=self._delay_s(claim, answer))
        if not outbox.finish(connection, claim, values):
            return "lease_lost"
        status = str(values["status"])
        if not has_failed and outbox.supersede_failed(connection, claim, now):
            status = "superseded"
        _set_failures(connection, claim.channel, 1)
        _count_failure(connection, claim.channel, now)
        if has_failed:
            _add_action(connection, claim, now, error=error)
        if is_gone:
            _disable(connection, claim.channel, now)
        return status

    def _delay_s(self, claim: Claim, answer: Answer | None) -> float:
        """Return the wait before the next attempt, with jitter, and as long as is asked for."""
        delay = self._delays_s[claim.attempts] * float(self._rng.uniform(*_JITTER))
        asked = answer.retry_after_s if answer is not None else None
        return max(delay, asked or 0.0)


class InFlight:
    """The sends in progress, within one event loop; `failed` gets unexpected errors of a send."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._pause: asyncio.Task[bool] | None = None

    @property
    def free(self) -> int:
        """How many more may begin."""
        return AT_ONCE - len(self._tasks)

    @property
    def by_channel(self) -> Counter[str]:
        """How many of each channel are under way."""
        return Counter(self._tasks.values())

    def begin(self, channel: str, send: Coroutine[object, object, None]) -> None:
        """Send while others go on."""
        self._tasks[asyncio.create_task(send)] = channel

    async def wait(self, stop: threading.Event, timeout_s: float) -> None:
        """Wait until a send has ended, the time is up, or the loop is to stop."""
        if self._pause is None or self._pause.done():
            self._pause = asyncio.create_task(asyncio.to_thread(stop.wait, timeout_s))
        await asyncio.wait({*self._tasks, self._pause}, return_when=asyncio.FIRST_COMPLETED)
        if any(task.done() for task in self._tasks):
            await asyncio.wait(self._tasks, timeout=_TOGETHER_S)
        self._land()

    async def end(self) -> None:
        """Wait until all have come to their end."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._land()

    def _land(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            del self._tasks[task]
            if (error := task.exception()) is not None:
                self._failed(error)


def _values(status: str, answer: Answer | None, error: str | None) -> dict[str, object]:
    result = result_of(answer, error)
    names = ("last_status", "last_error", "last_response")
    return {"status": status} | dict(zip(names, result, strict=True))


def _set_failures(connection: Connection, channel: str, more: int | None) -> None:
    """Count one more failure in a row, or begin to count anew."""
    table = tables.channels
    count = table.c.failure_count + more if more is not None else 0
    connection.execute(update(table).where(table.c.name == channel).values(failure_count=count))


def _disable(connection: Connection, channel: str, now: datetime) -> None:
    """Send nothing more to a channel until it is enabled again."""
    table = tables.channels
    why = "receiver answered 410 Gone"
    connection.execute(
        update(table)
        .where(table.c.name == channel)
        .values(enabled=False, disabled_reason=why, updated_at=now)
    )
    count = outbox.give_up(connection, channel, now, f"channel disabled: {why}")
    log.error("channel_disabled channel=%s given_up=%d", channel, count)


def _count_failure(connection: Connection, channel: str, now: datetime) -> None:
    """Record a failed attempt as a datapoint, so that an alarm can report it by another channel."""
    minute = now.replace(second=0, microsecond=0)
    dimensions = {"Channel": channel}
    found = metrics.read(
        connection,
        "Driftline",
        "FailedDeliveries",
        dimensions,
        minute,
        minute + timedelta(minutes=1),
        60,
        "Sum",
    )
    count = 1.0 + sum(value for _, value in found)
    point = Datapoint(
        "Driftline", "FailedDeliveries", dimensions, minute, value=count, unit="Count"
    )
    metrics.put(connection, [point], source=f"delivery:{channel}/{minute:%Y%m%dT%H%MZ}")


def _add_action(connection: Connection, claim: Claim, now: datetime, *, error: str | None) -> None:
    """Write the end of an action into the alarm's history, as CloudWatch does.

    A message that carries others is the end of each of theirs.
    """
    done = "Successfully executed" if error is None else "Failed to execute"
    for notified in outbox.notified_changes(connection, claim):
        is_own = notified.message_id == claim.id
        data = {
            "version": "1.0",
            "actionState": "Succeeded" if error is None else "Failed",
            "stateUpdateTimestamp": int(notified.changed_at.timestamp() * 1000),
            "notificationResource": claim.channel,
            "publishedMessage": claim.body.decode() if is_own else None,
            "error": error,
            "messageId": claim.id,
        }
        summary = f"{done} action {claim.channel}"
        item = HistoryItem(notified.alarm_name, now, "Action", summary, data)
        add_history(connection, alarm_id=notified.alarm_id, item=item)
