"""The deliverer: sends what is in the outbox, tries again on a schedule, gives up in the end."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import httpx
import numpy as np
from sqlalchemy import Connection, Engine, update

from driftline.alerts import metrics, outbox, tables
from driftline.alerts.addresses import AddressGuard, Resolver
from driftline.alerts.alarms import HistoryItem, add_history
from driftline.alerts.datapoint import Datapoint
from driftline.alerts.errors import AddressError, ChannelError
from driftline.alerts.outbox import Claim
from driftline.alerts.webhook import TOTAL_TIMEOUT_S, Answer, new_transport, post, signed_headers

__all__ = ["ATTEMPT_DELAYS_S", "Deliverer"]

log = logging.getLogger(__name__)

# Wait before each attempt, in seconds: Standard Webhooks' example with a denser head, because an
# alarm that is five minutes late is late.
ATTEMPT_DELAYS_S = (0, 5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400)
_JITTER = (0.8, 1.2)
_STORED_TEXT_MAX = 1000


class Deliverer:
    """Sends messages; one call of :meth:`step` is one pass over those that are due.

    Parameters
    ----------
    engine
        The database.
    now
        Gives the time, aware.
    allow_networks
        Networks (CIDR) that may be reached although they are not public.
    rng
        For the jitter of retries.
    resolver
        Gives the addresses of a host; the system's by default.
    tls
        Certificates to trust; the usual ones by default.
    poll_s
        Time between two passes of :meth:`run` when nothing is due.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime],
        allow_networks: Iterable[str] = (),
        rng: np.random.Generator | None = None,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        poll_s: float = 1.0,
    ) -> None:
        self._engine = engine
        self._now = now
        self._guard = AddressGuard(allow_networks, resolver=resolver)
        self._rng = rng if rng is not None else np.random.default_rng()
        self._tls = tls
        self._poll_s = poll_s
        self.failure_count = 0

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop; a failed pass is counted, logged and tried again."""
        while not stop.is_set():
            sent = 0
            try:
                sent = self.step()
            except Exception:  # The top of the loop: what stops it would silence every alarm.
                self.failure_count += 1
                log.exception("deliverer_failed count=%d", self.failure_count)
            if not sent:
                stop.wait(self._poll_s)

    def step(self) -> int:
        """Try each message that is due once; give how many were tried."""
        with self._engine.connect() as connection:
            if not outbox.is_any_due(connection, self._now()):
                return 0
        with self._engine.begin() as connection:
            claims = outbox.claim(connection, self._now())
        if claims:
            asyncio.run(self._send_all(claims))
        return len(claims)

    async def _send_all(self, claims: Sequence[Claim]) -> None:
        """Send together, so that a slow receiver holds up nobody else's message."""
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        async with new_transport(self._tls) as transport:
            sends = (self._send(transport, claim) for claim in claims)
            ends = await asyncio.gather(*sends, return_exceptions=True)
        # All have come to their end before the first trouble is reported.
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _send(self, transport: httpx.AsyncHTTPTransport, claim: Claim) -> None:
        answer, error = await self._attempt(transport, claim)
        # In a thread, so that a busy database does not use up the others' time limits.
        await asyncio.to_thread(self._mark, claim, answer, error)

    async def _attempt(
        self, transport: httpx.AsyncHTTPTransport, claim: Claim
    ) -> tuple[Answer | None, str | None]:
        """Give the receiver's answer, or in a few words why there is none."""
        now = self._now()
        headers = signed_headers(claim.secret, claim.id, claim.body, now)
        headers["content-type"] = claim.content_type
        if claim.is_sns:
            headers["x-amz-sns-message-type"] = "Notification"
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                target = await self._guard.target(claim.url)
                return await post(
                    transport, target, headers=headers, body=claim.body, now=now
                ), None
        except TimeoutError:
            return None, f"no answer within {TOTAL_TIMEOUT_S:.0f} s"
        except (AddressError, ChannelError) as error:
            return None, str(error)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return None, type(error).__name__

    def _mark(self, claim: Claim, answer: Answer | None, error: str | None) -> None:
        """Write how an attempt ended: delivered, to be tried again, or given up."""
        now = self._now()
        with self._engine.begin() as connection:
            outbox.hold_channel(connection, claim.channel)
            if answer is not None and answer.is_success:
                status = self._mark_delivered(connection, claim, answer, now)
            else:
                status = self._mark_failed(connection, claim, answer, error, now)
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
        is_dead = is_gone or claim.attempts >= len(ATTEMPT_DELAYS_S)
        if answer is not None:
            error = f"answered {answer.status}"
        values = _values("dead" if is_dead else "pending", answer, error)
        if is_dead:
            values["finished_at"] = now
        else:
            values["next_attempt_at"] = now + timedelta(seconds=self._delay_s(claim, answer))
        if not outbox.finish(connection, claim, values):
            return "lease_lost"
        _set_failures(connection, claim.channel, 1)
        _count_failure(connection, claim.channel, now)
        if is_dead:
            _add_action(connection, claim, now, error=error)
        else:
            outbox.supersede(connection, claim, now)
        if is_gone:
            _disable(connection, claim.channel, now)
        return str(values["status"])

    def _delay_s(self, claim: Claim, answer: Answer | None) -> float:
        """Give the wait before the next attempt, with jitter, and as long as is asked for."""
        delay = ATTEMPT_DELAYS_S[claim.attempts] * float(self._rng.uniform(*_JITTER))
        asked = answer.retry_after_s if answer is not None else None
        return max(delay, asked or 0.0)


def _values(status: str, answer: Answer | None, error: str | None) -> dict[str, object]:
    return {
        "status": status,
        "last_status": answer.status if answer is not None else None,
        "last_error": error,
        "last_response": answer.text[:_STORED_TEXT_MAX] if answer is not None else None,
    }


def _set_failures(connection: Connection, channel: str, more: int | None) -> None:
    """Count one more failure in a row, or begin to count anew."""
    table = tables.channels
    count = table.c.failure_count + more if more is not None else 0
    connection.execute(update(table).where(table.c.name == channel).values(failure_count=count))


def _disable(connection: Connection, channel: str, now: datetime) -> None:
    """Send nothing more to a channel until it is declared again."""
    table = tables.channels
    why = "receiver answered 410 Gone"
    connection.execute(
        update(table)
        .where(table.c.name == channel)
        .values(enabled=False, disabled_reason=why, updated_at=now)
    )
    count = outbox.bury(connection, channel, now, f"channel disabled: {why}")
    log.error("channel_disabled channel=%s buried=%d", channel, count)


def _count_failure(connection: Connection, channel: str, now: datetime) -> None:
    """Make a failed attempt a datapoint, so that an alarm can tell it by another channel."""
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
    """Write the end of an action into the alarm's history, as CloudWatch does."""
    done = "Successfully executed" if error is None else "Failed to execute"
    data = {
        "version": "1.0",
        "actionState": "Succeeded" if error is None else "Failed",
        "stateUpdateTimestamp": int(claim.created_at.timestamp() * 1000),
        "notificationResource": claim.channel,
        "publishedMessage": claim.body.decode(),
        "error": error,
        "messageId": claim.id,
    }
    summary = f"{done} action {claim.channel}"
    item = HistoryItem(claim.alarm_name, now, "Action", summary, data)
    add_history(connection, alarm_id=claim.alarm_id, item=item)
