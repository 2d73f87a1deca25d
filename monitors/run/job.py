"""One window of a monitor to be judged, and what it takes to judge it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import Predictor
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.run.past_windows import RETENTION
from driftline.monitors.tables import REQUESTED
from driftline.signature import Signature

BaselineReader = Callable[[str, str, str | None], Baseline]


@dataclass(frozen=True, slots=True)
class Claim:
    """A window that a scheduler has claimed."""

    owner: str
    clock: Callable[[], datetime]  # By which its lease runs.
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """One window of a monitor, and what it takes to judge it."""

    engine: Engine
    root: str
    definition: MonitorDefinition
    window: Window
    now: Callable[[], datetime]
    signature: Signature | None  # Of the endpoint; None: the source is a table.
    baselines: BaselineReader = versions.get
    predict: Predictor | None = None
    scripts_dir: str = ""
    commands_dir: str = ""
    retention: timedelta = RETENTION
    drift_tests: DriftTestCache | None = None
    access: Access = UNLIMITED  # What a table may be read from.
    timer: Callable[[], float] = time.monotonic  # Seconds, for the limit of the run.
    claim: Claim | None = None  # By a scheduler; None: of a run by hand.

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked for the window: then one that was cancelled is run, too."""
        return self.claim is None or self.claim.reason == REQUESTED
