"""What an installation is set up with: baselines and their versions, channels, settings, tokens.

Also the audit log, and two versions of a baseline compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from driftline.access.audit import PROMOTE, AuditEntry, entries
from driftline.access.credentials import Token, list_granted
from driftline.access.principal import CURRENT
from driftline.alerts.notify.channels import ChannelStatus, list_channels
from driftline.baseline import versions
from driftline.baseline.versions import BaselineVersion
from driftline.capture.tables.storage import list_folders
from driftline.dashboard.address import RANGE, Address
from driftline.dashboard.queries.storage import Storage
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import page_within
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition, list_definitions
from driftline.monitors.kinds.data_quality.version_comparison import (
    VersionComparison,
    compare_versions,
)
from driftline.monitors.run.bound_words import suggested_bounds

SIZE = 50
"""Baselines on a page: of each a folder is listed."""

ENTRIES_SHOWN = 200
"""Of the audit log, the newest."""

PROMOTED_SHOWN = 50
COMPARISONS_KEPT = 4


@dataclass(frozen=True, slots=True)
class BaselineLine:
    """A baseline, its versions, the oldest first, and the monitors that judge by it."""

    name: str
    versions: Sequence[BaselineVersion]
    users: Sequence[MonitorDefinition]

    @property
    def numbers_in_use(self) -> list[int]:
        """The versions that monitors judge by, pinned ones too."""
        used = {one.baseline_version for one in self.users}
        return [one.number for one in self.versions if one.version in used]


@dataclass(frozen=True, slots=True)
class SetupView:
    """One tab of the set-up: of its lists the one that it shows; ``total`` are the baselines."""

    now: datetime
    tab: str
    text: str | None = None
    baselines: Sequence[BaselineLine] = ()
    number: int = 1
    total: int = 0
    channels: Sequence[ChannelStatus] = ()
    settings: Sequence[Mapping[str, Any]] = ()
    tokens: Sequence[Token] = ()


def read_setup(stores: Stores, asked: Address) -> SetupView:
    """Read a tab; a text narrows baselines and settings by what they say of themselves."""
    view, low = SetupView(stores.now(), asked.tab, asked.text), (asked.text or "").casefold()
    if asked.tab == "settings":
        about = "{section}.{key} {about}".format_map
        found = [one for one in stores.settings if low in about(one).casefold()]
        return replace(view, settings=found)
    with read_connection(stores.engine) as connection:
        if asked.tab == "channels":
            return replace(view, channels=list_channels(connection))
        if asked.tab == "tokens":
            return replace(view, tokens=list_granted(connection, Token))
        users = list_definitions(connection)
    root = stores.storage.root
    names = [one for one in sorted(list_folders(root, "baselines")) if low in one.casefold()]
    page = page_within(asked.number, len(names), SIZE)
    lines = []
    for name in names[SIZE * (page - 1) : SIZE * page]:
        own = [one for one in users if one.baseline == name]
        lines.append(BaselineLine(name, versions.list_versions(root, name), own))
    return replace(view, baselines=lines, number=page, total=len(names))


def read_audit(stores: Stores, asked: Address) -> list[AuditEntry]:
    """Read the newest entries, of one subject, one target or one day if asked for."""
    day = asked.day
    try:
        start, end = RANGE.get().start, RANGE.get().end
        if day:
            start = datetime.fromisoformat(day).replace(tzinfo=UTC)
            end = start + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise InputError(f'day "{day}"; expected one such as 2026-01-31') from error
    with read_connection(stores.engine) as connection:
        return entries(
            connection, limit=ENTRIES_SHOWN, subject=asked.subject, target=asked.target,
            since=start, until=end,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class BaselineView:
    """The versions, the newest first, and of two of them what changed, if that is asked for.

    ``bounds`` are those of the version ``shown``.
    """

    name: str
    now: datetime
    versions: tuple[BaselineVersion, ...]
    in_use: str  # Digest; "" where that is not known.
    users: Mapping[str, tuple[MonitorDefinition, ...]]  # By digest.
    promotions: tuple[AuditEntry, ...]
    pair: tuple[BaselineVersion, BaselineVersion] | None = None
    found: VersionComparison | None = None
    feature: str | None = None
    shown: BaselineVersion | None = None
    bounds: Sequence[tuple[str, str]] = ()  # Of what, and in words.


def read_baseline(stores: Stores, asked: Address) -> BaselineView:
    """Read a baseline's page."""
    name, version = asked.baseline, asked.version
    storage, now = stores.storage, stores.now()
    known = storage.versions(name)
    with read_connection(stores.engine) as connection:
        using = [one for one in list_definitions(connection) if one.baseline == name]
        past = entries(connection, limit=PROMOTED_SHOWN, target=f"Baseline/{name}", action=PROMOTE)
    following = [one.baseline_version for one in using if not one.baseline_pinned]
    # Those that were applied by older programs were never noted.
    in_use = (past[0].after or {}).get("version") if past else next(iter(following), None)
    pair = found = None
    if asked.reference is not None and version is not None:
        version_of = partial(versions.find_version, storage.root, name)
        pair = before, after = version_of(asked.reference), version_of(version)
        if CURRENT.get().may("analyst"):
            found = _compared(storage, name, before.version, after.version)
    users = {
        one.version: tuple(user for user in using if user.baseline_version == one.version)
        for one in known
    }
    shown = next((one for one in known if one.version in (version, in_use)), known[-1])
    if version and not asked.reference:
        shown = versions.find_version(storage.root, name, version)
    outline, may_read = storage.outline(name, shown.version), CURRENT.get().may("analyst")
    bounds = suggested_bounds(outline, shows_values=may_read)
    return BaselineView(
        name, now, tuple(reversed(known)), in_use or "", users, tuple(past), pair, found,
        asked.feature, shown, bounds,
    )  # fmt: skip


@lru_cache(maxsize=COMPARISONS_KEPT)
def _compared(storage: Storage, name: str, before: str, after: str) -> VersionComparison:
    """Compare two versions once: a page asks again every half minute."""
    return compare_versions(storage.baseline(name, before), storage.baseline(name, after))
