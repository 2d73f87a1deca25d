"""The status of a monitor with each version of its baseline: fitting, fitted, accepted. SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from driftline.capture.windows.window import Window
from driftline.database.upserts import upsert
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.executions import Overtaken
from driftline.monitors.tables import warm_ups, window_counts
from driftline.monitors.warm_up.warm_up import Reason, SuppressedDrift, WarmUp, is_over
from driftline.monitors.window_history.store import Key, read


@dataclass(frozen=True, slots=True)
class WarmUpStatus:
    """One row of the table."""

    begun_at: datetime  # Start of the first window.
    ended_at: datetime | None = None  # None while the warm-up lasts.
    reported_in: Window | None = None  # The window whose report has the suppressed drift.
    suppressed: Mapping[str, Any] | None = None  # As `save` writes it.
    accepted_at: datetime | None = None
    accepted_by: str | None = None
    accepted_reason: str | None = None

    @property
    def state(self) -> str:
        """The state in a word: "fitting", "fitted" or "accepted"."""
        if self.accepted_at is not None:
            return "accepted"
        return "fitting" if self.ended_at is None else "fitted"

    @property
    def span(self) -> Window | None:
        """The warm-up, when it is over."""
        return None if self.ended_at is None else Window(self.begun_at, self.ended_at)

    @property
    def misfits(self) -> Mapping[str, str]:
        """The columns that differ since the first window, and in which words."""
        return self.suppressed["held"] if self.suppressed else {}

    @property
    def reasons_now(self) -> Mapping[str, Reason]:
        """By column whose drift is suppressed now: why."""
        if not self.suppressed or self.accepted_at is not None:
            return {}
        if self.misfits or self.ended_at is not None:
            return dict.fromkeys(self.misfits, "misfit")
        # Versions before 0.2 also stored "shuffled".
        stored = self.suppressed["grounds"].items()
        return {name: reason for name, reason in stored if reason in get_args(Reason)}


def has_warm_up(definition: MonitorDefinition) -> bool:
    """Whether a monitor tests that its baseline fits, and suppresses drift where it does not."""
    return definition.kind_value.judges_columns and not definition.compat


def read_status(connection: Connection, key: Key, *, lock: bool = False) -> WarmUpStatus | None:
    """Return the status of a monitor; None before its first window."""
    query = select(warm_ups).where(_is(key))
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        return None
    reported_in = None if row.told_start is None else Window(row.told_start, row.told_end)
    return WarmUpStatus(
        row.begun_at,
        row.fitted_at,
        reported_in,
        row.finding,
        row.accepted_at,
        row.accepted_by,
        row.accepted_reason,
    )


def load(
    connection: Connection,
    key: Key,
    window: Window,
    cell_ids: Mapping[str, str],
    *,
    has_times: bool,
    past: Sequence[WindowCounts] = (),
) -> WarmUp:
    """Return the warm-up before a window is evaluated."""
    status = read_status(connection, key)
    if status is None:
        return WarmUp(key.monitor, has_times=has_times)
    is_running = status.ended_at is None or window.start < status.ended_at
    history: tuple[WindowCounts, ...] = ()
    if is_running:
        history = read(connection, key, window.start, cell_ids, since=status.begun_at)
    elif status.ended_at is not None and not has_times:
        history = read(connection, key, status.ended_at, cell_ids, since=status.begun_at)
    return WarmUp(
        key.monitor,
        is_running=is_running,
        has_times=has_times,
        history=history,
        past=() if is_running else _since_first(past, status.begun_at),
        ended_at=None if is_running else status.ended_at,
        misfits=status.misfits,
        is_reported=status.reported_in not in (None, window),
        is_accepted=status.accepted_at is not None,
    )


def _since_first(past: Sequence[WindowCounts], begun_at: datetime) -> tuple[WindowCounts, ...]:
    """Return the windows from the first on; none where that is not among them."""
    windows = tuple(one for one in past if one.start is not None and one.start >= begun_at)
    return windows if windows and windows[0].start == begun_at else ()


def save(
    connection: Connection, key: Key, window: Window, suppressed: SuppressedDrift | None
) -> WarmUpStatus:
    """Store what a window adds, whose counts have been put."""
    connection.execute(
        upsert(connection, warm_ups)
        .values(
            monitor=key.monitor,
            source=key.source,
            baseline_version=key.baseline_version,
            begun_at=window.start,
        )
        .on_conflict_do_nothing()
    )
    status = read_status(connection, key, lock=True)
    assert status is not None
    if suppressed is not None and suppressed.text and status.reported_in not in (None, window):
        raise Overtaken
    values: dict[str, object] = {"begun_at": min(status.begun_at, window.start)}
    if suppressed is not None:
        text = suppressed.text or (status.suppressed or {}).get("text", "")
        document = {**suppressed.to_dict(), "held": dict(suppressed.differences), "text": text}
        values["finding"] = document
        if suppressed.text:
            values |= {"told_start": window.start, "told_end": window.end}
    elif status.reported_in == window:
        # It was evaluated anew and differs no more: another window may have to report it.
        values |= {"told_start": None, "told_end": None, "finding": None}
    if status.ended_at is None and _is_over(connection, key, status.begun_at, window):
        values["fitted_at"] = window.end
    connection.execute(update(warm_ups).where(_is(key)).values(values))
    changed = read_status(connection, key)
    assert changed is not None
    return changed


def accept(
    connection: Connection, key: Key, *, now: datetime, author: str | None, reason: str
) -> None:
    """Have drift judged against the reference as it is, from the next window on."""
    values = {"accepted_at": now, "accepted_by": author, "accepted_reason": reason}
    if connection.execute(update(warm_ups).where(_is(key)).values(values)).rowcount == 0:
        raise NotFoundError(
            f'monitor "{key.monitor}" has judged no window against baseline version '
            f"{key.baseline_version} yet; accept it after the first"
        )


def carry_over(connection: Connection, before: Key, after: Key, columns: Collection[str]) -> None:
    """Copy the status of a baseline version to the next one, of which few columns are new.

    Else the monitor would be new to all of it again, and suppress drift that it has alarmed for.
    """
    row = connection.execute(select(warm_ups).where(_is(before))).mappings().first()
    if row is None or read_status(connection, after) is not None:
        return
    finding = dict(row["finding"]) if row["finding"] else None
    if finding is not None:
        for name in ("held", "grounds"):
            finding[name] = {key: it for key, it in finding[name].items() if key not in columns}
    values = {**row, "baseline_version": after.baseline_version, "finding": finding}
    connection.execute(insert(warm_ups).values(values))


def _is(key: Key) -> ColumnElement[bool]:
    return and_(
        warm_ups.c.monitor == key.monitor,
        warm_ups.c.source == key.source,
        warm_ups.c.baseline_version == key.baseline_version,
    )


def _is_over(connection: Connection, key: Key, begun_at: datetime, window: Window) -> bool:
    table = window_counts.c
    count = connection.scalar(
        select(func.count())
        .select_from(window_counts)
        .where(
            table.monitor == key.monitor,
            table.source == key.source,
            table.window_start >= begun_at,
            table.window_end <= window.end,
        )
    )
    return is_over(begun_at, count or 0, window.end)
