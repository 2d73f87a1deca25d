"""What a monitor holds back since its baseline does not fit, read for its page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlalchemy import Engine

from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.warm_up.status import text_now
from driftline.monitors.warm_up.warm_up import StableSpan

if TYPE_CHECKING:  # It reads what frames.py shows, which shows this.
    from driftline.dashboard.queries.storage import Holdings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldView:
    """What is held back now.

    ``words`` say what, why and by which commands it ends; ``stable`` is the time that a baseline
    could be made of, if there is one.
    """

    monitor: str
    words: str
    stable: StableSpan | None


def held_view(engine: Engine, holdings: Holdings, definition: MonitorDefinition) -> HeldView | None:
    """Read it; None when nothing is held back, or the baseline cannot be read."""
    version = definition.baseline_version or ""
    try:
        baseline = holdings.baseline(definition.baseline, version)
    except (DriftlineError, OSError, pa.ArrowException):
        # The overview and the window's verdict still say what is held back.
        log.exception("baseline_unreadable monitor=%s version=%s", definition.name, version)
        return None
    with read_connection(engine) as connection:
        words, stable = text_now(connection, definition, baseline)
    return HeldView(definition.name, words, stable) if words else None


def held_words(columns: tuple[str, ...]) -> str:
    """Say in a sentence's part of which columns drift is held back; empty for none."""
    if not columns:
        return ""
    named = columns[0] if len(columns) == 1 else f"{len(columns)} features"
    return f"drift of {named} is held back, since the baseline does not fit"
