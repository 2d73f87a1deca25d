"""Rolling baselines: every so often a version of the rows captured lately.

Windows in which a monitor of the baseline found violations are left out, or their drift would be
learnt. Any number of servers may do it: the same rows give the same version, which is kept once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.baseline import store as baselines
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, InputError
from driftline.monitors.kind import DEFAULT_KIND
from driftline.monitors.kinds.data_quality.version_comparison import compare_versions
from driftline.monitors.tables import executions
from driftline.monitors.warm_up.captured_baseline import put_renewed, rows_like, rows_origin
from driftline.serving.context import ServerContext
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature
from driftline.serving.resources.specs import RollingSpec
from driftline.serving.resources.store import Stored

log = logging.getLogger(__name__)

LOOK_S = 60.0
# A Monday, so that weeks end on Mondays.
FIRST = datetime(1970, 1, 5, tzinfo=UTC)


class Rolling:
    """Makes the versions that are due; ``promote`` has one used by those that follow."""

    def __init__(
        self, context: ServerContext, promote: Callable[[str, str], Awaitable[object]]
    ) -> None:
        self._context, self._promote = context, promote
        # By baseline: the end of the time that was tried last, so that it is read once.
        self._tried: dict[str, datetime] = {}
        # Versions that were made, and could not be put to use yet.
        self._waiting: dict[tuple[str, datetime], str | None] = {}

    async def run(self) -> None:
        """Look once a minute, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.step()
            except SQLAlchemyError as error:
                log.warning("rolling_baselines_not_read error=%s", type(error).__name__)

    async def step(self) -> None:
        """Make what is due now; what cannot be made is said in the log and left for the next."""
        for row in await asyncio.to_thread(self._rolling):
            spec = RollingSpec.model_validate(row.spec["rolling"])
            window = rolling_window(spec, self._context.now())
            if self._tried.get(row.name) == window.end:
                continue
            place = row.name, window.end
            try:
                if place not in self._waiting:
                    self._waiting[place] = await asyncio.to_thread(self._made, row, spec, window)
                if (version := self._waiting[place]) is not None:
                    await self._promote(row.name, version)
            except (DriftlineError, OSError, SQLAlchemyError) as error:
                log.warning("baseline=%s rolling version not made: %s", row.name, error)
                if not isinstance(error, InputError):
                    continue  # Whatever was away is there again at one of the next looks.
            self._waiting.pop(place, None)
            self._tried[row.name] = window.end

    def _rolling(self) -> list[Stored]:
        with read_connection(self._context.engine) as connection:
            rows = store.list_kind(connection, "Baseline")
        return [row for row in rows if row.spec.get("rolling") is not None]

    def _made(self, row: Stored, spec: RollingSpec, window: Window) -> str | None:
        """Make a version, unless it is there; return it if it is to be used."""
        context, now = self._context, self._context.now
        origin: dict[str, Any] = rows_origin(window, endpoint=spec.endpoint, rolling=True)
        known = baselines.list_versions(context.root, row.name)
        if any({**one.origin, "left_out": None} == {**origin, "left_out": None} for one in known):
            return None
        signature = require_signature(context.engine, spec.endpoint)
        with read_connection(context.engine) as connection:
            violated = violated_windows(connection, row.name, spec.endpoint, window)
        rows = partial(
            rows_like, context.root, spec.endpoint, window=window, signature=signature,
            without=violated,
        )  # fmt: skip
        origin["left_out"] = [one.stamp for one in violated]
        before = baselines.get(context.root, row.name, row.made["version"])
        made = put_renewed(context.root, row.name, before.version, rows, now, origin)
        found = compare_versions(before, made)
        is_used = spec.promote == "always" or (
            spec.promote == "unchanged" and found.decided and not found.changed
        )
        log.info(
            "baseline=%s rolling version=%s left_out=%d promoted=%s: %s",
            row.name, made.version, len(violated), is_used, found.summary,
        )  # fmt: skip
        return made.version if is_used else None


def rolling_window(spec: RollingSpec, now: datetime) -> Window:
    """Return the span of time that the newest version is of: the same until the next is due."""
    length, every, gap = (
        timedelta(days=int(text.removesuffix("d"))) for text in (spec.length, spec.every, spec.gap)
    )
    end = FIRST + (now - gap - FIRST) // every * every
    return Window(end - length, end)


def violated_windows(
    connection: Connection, baseline: str, endpoint: str, window: Window
) -> list[Window]:
    """Return the windows in which monitors of data quality of a baseline found violations."""
    table = executions.c
    query = (
        select(table.window_start, table.window_end)
        .distinct()
        .where(
            table.baseline == baseline,
            table.endpoint == endpoint,
            table.kind == DEFAULT_KIND,
            table.is_current,
            table.violation_count > 0,
            table.window_end > window.start,
            table.window_start < window.end,
        )
        .order_by(table.window_start)
    )
    return [Window(*one) for one in connection.execute(query)]
