"""Messages and silences, read from the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from driftline.alerts.counts import count_by
from driftline.alerts.notify.deliveries import Delivery, list_deliveries
from driftline.alerts.notify.silences import SilenceRecord, list_silences
from driftline.alerts.tables import outbox
from driftline.dashboard.address import RANGE, Address
from driftline.dashboard.queries.lookup import in_range
from driftline.dashboard.queries.stores import Stores
from driftline.database.engine import read_connection

MESSAGES_SHOWN = 200
RANKS = {"ACTIVE": 0, "SCHEDULED": 1, "EXPIRED": 2}

CountedSilence = tuple[SilenceRecord, str, int]
"""A silence, its status, and how many messages it suppresses."""


def read_messages(stores: Stores, asked: Address) -> tuple[list[Delivery], dict[str, int]]:
    """Return the newest messages, of a status or to a channel, and all counted by status."""
    status, channel = asked.status, asked.channel
    shown, of_channel = RANGE.get(), in_range(outbox.c.created_at)
    if channel is not None:
        of_channel &= outbox.c.channel == channel
    with read_connection(stores.engine) as connection:
        messages = list_deliveries(
            connection, status=status, channel=channel, limit=MESSAGES_SHOWN,
            start=shown.start, end=shown.end,
        )  # fmt: skip
        counts = count_by(connection, outbox.c.status, of_channel)
    return messages, counts


def read_silences(stores: Stores) -> tuple[Sequence[CountedSilence], datetime]:
    """Return all silences, those in force first, then the newest; and as of when."""
    now = stores.now()
    is_muted = (outbox.c.status == "muted") & outbox.c.silence.is_not(None)
    with read_connection(stores.engine) as connection:
        records = list_silences(connection, now)
        muted = count_by(connection, outbox.c.silence, is_muted)
    silences = [
        (one, one.silence.state(now, one.expired_at), muted.get(one.silence.name, 0))
        for one in records
        if RANGE.get().covers(one.silence.starts_at, one.expired_at or one.silence.last_end)
    ]
    silences.sort(key=lambda entry: (RANKS[entry[1]], -entry[0].updated_at.timestamp()))
    return silences, now
