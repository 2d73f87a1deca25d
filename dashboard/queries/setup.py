"""What an installation is set up with: baselines, channels, settings and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from driftline.access.tokens import Token, list_tokens
from driftline.alerts.notify.channels import ChannelStatus, list_channels
from driftline.baseline.store import BaselineVersion, list_versions
from driftline.capture.tables.storage import list_folders
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import page_within
from driftline.database.engine import read_connection
from driftline.monitors.definitions import MonitorDefinition, list_definitions

SIZE = 50
"""Baselines on a page: of each a folder is listed."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
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


def read_setup(stores: Stores, tab: str, text: str | None, number: int) -> SetupView:
    """Read a tab; a text narrows baselines and settings by what they say of themselves."""
    now, low = stores.now(), (text or "").casefold()
    if tab == "settings":
        told = [one for one in stores.settings if low in f"{_key(one)} {one['about']}".casefold()]
        return SetupView(now=now, tab=tab, text=text, settings=told)
    with read_connection(stores.engine) as connection:
        if tab == "channels":
            return SetupView(now=now, tab=tab, channels=list_channels(connection))
        if tab == "tokens":
            return SetupView(now=now, tab=tab, tokens=list_tokens(connection))
        users = list_definitions(connection)
    root = stores.storage.root
    names = [one for one in sorted(list_folders(root, "baselines")) if low in one.casefold()]
    number = page_within(number, len(names), SIZE)
    lines = [
        BaselineLine(
            name, list_versions(root, name), [one for one in users if one.baseline == name]
        )
        for name in names[SIZE * (number - 1) : SIZE * number]
    ]
    return SetupView(now=now, tab=tab, text=text, baselines=lines, number=number, total=len(names))


def _key(setting: Mapping[str, Any]) -> str:
    return f"{setting['section']}.{setting['key']}"
