"""A baseline's versions, who uses them, when each came into use, and two of them compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Engine

from driftline.access.audit import PROMOTE, AuditEntry, entries
from driftline.access.principal import CURRENT
from driftline.baseline.store import BaselineVersion, find_version, list_versions
from driftline.dashboard.queries.storage import Storage
from driftline.database.engine import read_connection
from driftline.errors import NotFoundError
from driftline.monitors.definitions import MonitorDefinition, list_definitions
from driftline.monitors.kinds.data_quality.version_comparison import (
    VersionComparison,
    compare_versions,
)

SHOWN = 50
COMPARISONS_KEPT = 4


@dataclass(frozen=True, slots=True)
class BaselineView:
    """The versions, the newest first, and of two of them what changed, if that is asked for."""

    name: str
    now: datetime
    versions: tuple[BaselineVersion, ...]
    in_use: str  # Digest; "" where that is not known.
    users: Mapping[str, tuple[MonitorDefinition, ...]]  # By digest.
    promotions: tuple[AuditEntry, ...]
    pair: tuple[BaselineVersion, BaselineVersion] | None = None
    found: VersionComparison | None = None
    feature: str | None = None


def require_baseline(storage: Storage, name: str) -> list[BaselineVersion]:
    """Return the versions of a baseline; NotFoundError where it has none."""
    known = list_versions(storage.root, name)
    if not known:
        raise NotFoundError(f'baseline "{name}" has no versions; expected one that was applied')
    return known


def read_baseline(
    engine: Engine,
    storage: Storage,
    now: datetime,
    name: str,
    reference: str | None,
    version: str | None,
    feature: str | None,
) -> BaselineView:
    """Read a baseline's page."""
    known = require_baseline(storage, name)
    with read_connection(engine) as connection:
        using = [one for one in list_definitions(connection) if one.baseline == name]
        past = entries(connection, limit=SHOWN, target=f"Baseline/{name}", action=PROMOTE)
    following = [one.baseline_version for one in using if not one.baseline_pinned]
    # Those that were applied by older programs were never noted.
    in_use = (past[0].after or {}).get("version") if past else next(iter(following), None)
    pair = found = None
    if reference is not None and version is not None:
        before, after = (find_version(storage.root, name, one) for one in (reference, version))
        pair = before, after
        if CURRENT.get().may("analyst"):
            found = _compared(storage, name, before.version, after.version)
    users = {
        one.version: tuple(user for user in using if user.baseline_version == one.version)
        for one in known
    }
    return BaselineView(
        name, now, tuple(reversed(known)), in_use or "", users, tuple(past), pair, found, feature
    )


@lru_cache(maxsize=COMPARISONS_KEPT)
def _compared(storage: Storage, name: str, before: str, after: str) -> VersionComparison:
    """Compare two versions once: a page asks again every half minute."""
    return compare_versions(storage.baseline(name, before), storage.baseline(name, after))
