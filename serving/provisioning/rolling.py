"""Rolling baselines: periodic versions of the rows captured lately.

Windows with violations of a monitor of the baseline are left out, or their drift would be learnt.
Any number of servers may do it: the same rows give the same version, which is kept once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.audit import PROMOTE, entries
from driftline.baseline import store as baselines
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.monitors.captured_baseline import put_renewed, rows_like, rows_origin
from driftline.monitors.kind import DEFAULT_KIND
from driftline.monitors.kinds.data_quality.version_comparison import compare_versions
from driftline.monitors.tables import executions
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
    """Makes the versions that are due.

    ``promote`` has a version used by those that follow, if the second one is still in use.
    """

    def __init__(
        self, context: ServerContext, promote: Callable[[str, str, str], Awaitable[object]]
    ) -> None:
        self._context, self._promote = context, promote
        # By baseline: what was declared and the end of the time that was read last, the version
        # that was in use then, and the one that could not be put to use yet.
        self._last: dict[str, tuple[tuple[object, datetime], str, str | None]] = {}

    async def run(self) -> None:
        """Look once a minute, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.step()

    async def step(self) -> None:
        """Make what is due now; what cannot be reached is tried again at the next look."""
        for row in await asyncio.to_thread(self._rolling):
            spec = RollingSpec.model_validate(row.spec["rolling"])
            window = rolling_window(spec, self._context.now())
            due = row.spec["rolling"], window.end
            done, before, version = self._last.get(row.name, (None, "", None))
            if done == due and version is None:
                continue
            try:
                if done != due:
                    before = row.made["version"]
                    version = await asyncio.to_thread(self._made, row, spec, window)
                    self._last[row.name] = due, before, version
                if version is not None:
                    await self._promote(row.name, version, before)
            except (DriftlineError, OSError, SQLAlchemyError) as error:
                # The text of a database's error holds the values of its statement.
                why = type(error).__name__ if isinstance(error, SQLAlchemyError) else error
                log.warning("baseline=%s rolling version not made, or not used: %s", row.name, why)
                # What the rows do not hold now they hold at no later look either.
                if not isinstance(error, DriftlineError) or error.retriable:
                    continue
            self._last[row.name] = due, "", None

    def _rolling(self) -> list[Stored]:
        with read_connection(self._context.engine) as connection:
            rows = store.list_kind(connection, "Baseline")
        return [row for row in rows if row.made and row.spec.get("rolling") is not None]

    def _made(self, row: Stored, spec: RollingSpec, window: Window) -> str | None:
        """Make a version, unless it is there; return it if it is to be used.

        An existing version is left alone once anybody, or an earlier process, has put any version
        to use since the window was due.
        """
        root, used = self._context.root, row.made["version"]
        known = {one.version: one.origin for one in baselines.list_versions(root, row.name)}
        origin = rows_origin(window, endpoint=spec.endpoint, rolling=True)
        asked = {**origin, "left_out": None}
        same = (version for version, one in known.items() if {**one, "left_out": None} == asked)
        version = next(same, None) or self._put(row, spec.endpoint, window, origin)
        if version in known and self._is_decided(row.name, window.end + days(spec.gap)):
            return None
        before, made = (baselines.get(root, row.name, one) for one in (used, version))
        found = compare_versions(before, made)
        is_same = found.decided and not found.changed
        is_used = spec.promote == "always" or (spec.promote == "unchanged" and is_same)
        told = row.name, version, is_used, found.summary
        log.info("baseline=%s rolling version=%s promoted=%s: %s", *told)
        return version if is_used else None

    def _put(self, row: Stored, endpoint: str, window: Window, origin: Mapping[str, object]) -> str:
        """Make a version of the rows of a span of time, without the windows in violation."""
        context, used = self._context, row.made["version"]
        signature = require_signature(context.engine, endpoint)
        with read_connection(context.engine) as connection:
            violated = violated_windows(connection, row.name, endpoint, window)
        rows = partial(
            rows_like, context.root, endpoint, window=window, signature=signature, without=violated
        )
        found = {**origin, "left_out": [one.stamp for one in violated]}
        return put_renewed(context.root, row.name, used, rows, context.now, found).version

    def _is_decided(self, name: str, since: datetime) -> bool:
        """Whether any version of a baseline came into use since a time."""
        target = f"Baseline/{name}"
        with read_connection(self._context.engine) as connection:
            return bool(entries(connection, limit=1, target=target, action=PROMOTE, since=since))


def rolling_window(spec: RollingSpec, now: datetime) -> Window:
    """Return the span of time that the newest version is of: the same until the next is due."""
    length, every, gap = (days(text) for text in (spec.length, spec.every, spec.gap))
    end = FIRST + (now - gap - FIRST) // every * every
    return Window(end - length, end)


def days(text: str) -> timedelta:
    """Return a length of time that is written as "30d"."""
    return timedelta(days=int(text.removesuffix("d")))


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
