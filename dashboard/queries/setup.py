"""What an installation is set up with: baselines, channels, settings and tokens; its audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from driftline.access.audit import AuditEntry, entries
from driftline.access.tokens import Token, list_tokens
from driftline.alerts.notify.channels import ChannelStatus, list_channels
from driftline.baseline.store import BaselineVersion, list_versions
from driftline.capture.tables.storage import list_folders
from driftline.dashboard.address import Address
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import page_within
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition, list_definitions

SIZE = 50
"""Baselines on a page: of each a folder is listed."""

ENTRIES_SHOWN = 200
"""Of the audit log, the newest."""


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
        return replace(
            view, settings=[one for one in stores.settings if low in about(one).casefold()]
        )
    with read_connection(stores.engine) as connection:
        if asked.tab == "channels":
            return replace(view, channels=list_channels(connection))
        if asked.tab == "tokens":
            return replace(view, tokens=list_tokens(connection))
        users = list_definitions(connection)
    root = stores.storage.root
    names = [one for one in sorted(list_folders(root, "baselines")) if low in one.casefold()]
    number = page_within(asked.number, len(names), SIZE)
    lines = [
        BaselineLine(
            name, list_versions(root, name), [one for one in users if one.baseline == name]
        )
        for name in names[SIZE * (number - 1) : SIZE * number]
    ]
    return replace(view, baselines=lines, number=number, total=len(names))


def read_audit(stores: Stores, asked: Address) -> list[AuditEntry]:
    """Read the newest entries, of one subject, one target or one day if asked for."""
    day = asked.day
    try:
        start = datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None
        end = start + timedelta(days=1) if start else None
    except (ValueError, OverflowError) as error:
        raise InputError(f'day "{day}"; expected one such as 2026-01-31') from error
    with read_connection(stores.engine) as connection:
        return entries(
            connection, limit=ENTRIES_SHOWN, subject=asked.subject, target=asked.target,
            since=start, until=end,
        )  # fmt: skip
