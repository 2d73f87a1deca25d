"""Where a monitor stands with each version of its baseline: fitting, fitted, accepted. SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from driftline.capture.windows.window import Window
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.executions import Overtaken
from driftline.monitors.tables import commissions, window_counts
from driftline.monitors.warm_up.warm_up import Commission, Finding, Ground, is_fitted
from driftline.monitors.window_history.store import Key, read


@dataclass(frozen=True, slots=True)
class Standing:
    """One line of the table.

    Parameters
    ----------
    begun_at, fitted_at
        Start of the first window that was judged, and the end of the last one of the fitting
        period; None while that lasts.
    told
        The window whose report tells the finding.
    finding
        What was found last, as `save` writes it.
    accepted_at, accepted_by, accepted_reason
        Who said that drift is to be judged against the reference as it is.
    """

    begun_at: datetime
    fitted_at: datetime | None = None
    told: Window | None = None
    finding: Mapping[str, Any] | None = None
    accepted_at: datetime | None = None
    accepted_by: str | None = None
    accepted_reason: str | None = None

    @property
    def state(self) -> str:
        """Where it stands in a word: "fitting", "fitted" or "accepted"."""
        if self.accepted_at is not None:
            return "accepted"
        return "fitting" if self.fitted_at is None else "fitted"

    @property
    def fitting(self) -> Window | None:
        """The fitting period, when it is over."""
        return None if self.fitted_at is None else Window(self.begun_at, self.fitted_at)

    @property
    def is_shuffled(self) -> bool:
        """Whether the reference was found to be shuffled."""
        return bool(self.finding and self.finding["is_shuffled"])

    @property
    def held(self) -> Mapping[str, str]:
        """The columns that differ since the first window, and in which words."""
        return self.finding["held"] if self.finding else {}

    @property
    def grounds_now(self) -> Mapping[str, Ground]:
        """By column whose drift is held back now: why."""
        if not self.finding or self.accepted_at is not None:
            return {}
        misfits: dict[str, Ground] = dict.fromkeys(self.held, "misfit")
        return misfits or (self.finding["grounds"] if self.fitted_at is None else {})


def holds_back(definition: MonitorDefinition) -> bool:
    """Say whether a monitor asks if its baseline fits, and holds drift back where it does not."""
    return definition.kind_value.judges_columns and not definition.compat


def standing(connection: Connection, key: Key, *, hold: bool = False) -> Standing | None:
    """Give where a monitor stands; None before its first window.

    Parameters
    ----------
    hold
        Whether nobody else may change it before the transaction ends.
    """
    query = select(commissions).where(_is(key))
    row = connection.execute(query.with_for_update() if hold else query).first()
    if row is None:
        return None
    told = None if row.told_start is None else Window(row.told_start, row.told_end)
    return Standing(
        row.begun_at,
        row.fitted_at,
        told,
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
) -> Commission:
    """Give what is known when a window is judged.

    Parameters
    ----------
    cell_ids
        By column: the id of the baseline's cells.
    has_times
        Whether the reference is known by the hour; if not, how windows vary is read from the
        fitting period's.
    past
        The windows before that a span may reach back to, in order of time.
    """
    found = standing(connection, key)
    if found is None:
        return Commission(key.monitor)
    is_running = found.fitted_at is None or window.start < found.fitted_at
    history: tuple[WindowCounts, ...] = ()
    if is_running:
        history = read(connection, key, window.start, cell_ids, since=found.begun_at)
    elif found.fitted_at is not None and (found.is_shuffled or not has_times):
        history = read(connection, key, found.fitted_at, cell_ids, since=found.begun_at)
    return Commission(
        key.monitor,
        is_running=is_running,
        history=history,
        past=() if is_running else _since_first(past, found.begun_at),
        fitted_at=None if is_running else found.fitted_at,
        held=found.held,
        is_shuffled=found.is_shuffled,
        is_told=found.told not in (None, window),
        is_accepted=found.accepted_at is not None,
    )


def _since_first(past: Sequence[WindowCounts], begun_at: datetime) -> tuple[WindowCounts, ...]:
    """Give the windows from the first on; none where that is not among them."""
    found = tuple(one for one in past if one.start is not None and one.start >= begun_at)
    return found if found and found[0].start == begun_at else ()


def save(connection: Connection, key: Key, window: Window, finding: Finding | None) -> Standing:
    """Keep what the judgement of a window brought; its counts have been put.

    Raises
    ------
    Overtaken
        When it tells the finding, and another window that was judged meanwhile tells it, too.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        dialect.insert(commissions)
        .values(
            monitor=key.monitor,
            source=key.source,
            baseline_version=key.baseline_version,
            begun_at=window.start,
        )
        .on_conflict_do_nothing()
    )
    found = standing(connection, key, hold=True)
    assert found is not None
    if finding is not None and finding.text and found.told not in (None, window):
        raise Overtaken
    values: dict[str, object] = {"begun_at": min(found.begun_at, window.start)}
    if finding is not None:
        before = dict(found.finding or {})
        text = finding.text or before.get("text", "")
        values["finding"] = {**finding.to_dict(), "held": dict(finding.words), "text": text}
        if finding.text:
            values |= {"told_start": window.start, "told_end": window.end}
    elif found.told == window:
        # It was judged anew and differs no more: another window may have to tell.
        values |= {"told_start": None, "told_end": None, "finding": None}
    if found.fitted_at is None and _is_fitted(connection, key, found.begun_at, window):
        values["fitted_at"] = window.end
    connection.execute(update(commissions).where(_is(key)).values(values))
    changed = standing(connection, key)
    assert changed is not None
    return changed


def accept(
    connection: Connection, key: Key, *, now: datetime, author: str | None, reason: str
) -> None:
    """Note that drift is to be judged against the reference as it is, from the next window on.

    Raises
    ------
    NotFoundError
        When no window was judged against this version of the baseline yet.
    """
    values = {"accepted_at": now, "accepted_by": author, "accepted_reason": reason}
    if connection.execute(update(commissions).where(_is(key)).values(values)).rowcount == 0:
        raise NotFoundError(
            f'monitor "{key.monitor}" has judged no window against baseline version '
            f"{key.baseline_version} yet; accept it after the first"
        )


def carry_over(connection: Connection, before: Key, after: Key, columns: Collection[str]) -> None:
    """Let a monitor stand with a version as with the one before it, of which few columns are new.

    Else it would be new to all of it again, and hold drift back that it has alarmed for.

    Parameters
    ----------
    columns
        Those that are new: nothing of theirs is held back any more.
    """
    row = connection.execute(select(commissions).where(_is(before))).mappings().first()
    if row is None or standing(connection, after) is not None:
        return
    finding = None
    if row["finding"]:
        own = dict(row["finding"])
        for name in ("held", "grounds"):
            own[name] = {key: one for key, one in own[name].items() if key not in columns}
        finding = own
    values = {**row, "baseline_version": after.baseline_version, "finding": finding}
    connection.execute(insert(commissions).values(values))


def _is(key: Key) -> ColumnElement[bool]:
    return and_(
        commissions.c.monitor == key.monitor,
        commissions.c.source == key.source,
        commissions.c.baseline_version == key.baseline_version,
    )


def _is_fitted(connection: Connection, key: Key, begun_at: datetime, window: Window) -> bool:
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
    return is_fitted(begun_at, count or 0, window.end)
