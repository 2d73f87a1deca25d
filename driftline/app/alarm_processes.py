"""The loops of alarms, from the settings: who judges, and who tells."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from driftline.app.settings.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

Clock = Callable[[], datetime]
Loop = Callable[[threading.Event], None]

# What is flushed at the end of a minute is there a moment later: an alarm that looked at once would
# find the newest minute empty, and tell a minute late.
_SETTLE_S = 3.0


def alarm_loops(settings: Settings, engine: Engine, now: Clock) -> dict[str, Loop]:
    """Build the loops of the role ``alarms``, by name."""
    # Imported here: a process loads only what it runs.
    from driftline.alerts.evaluation.evaluator import Evaluator
    from driftline.alerts.math.band_models import BandModels
    from driftline.alerts.math.training import Trainer
    from driftline.alerts.metrics.upkeep import Upkeep as MetricUpkeep
    from driftline.alerts.notify.deliverer import Deliverer
    from driftline.alerts.notify.programs import commands_of
    from driftline.alerts.notify.secrets import Vault
    from driftline.alerts.notify.upkeep import Upkeep

    band_models = BandModels()
    evaluator = Evaluator(
        engine,
        now=now,
        dashboard_url=settings.dashboard_url,
        poll_s=settings.alarms.poll_s,
        settle_s=_SETTLE_S,
        bands=band_models,
        lease_clock=lambda: datetime.now(UTC),
    )
    trainer = Trainer(engine, now=now, band_models=band_models)
    # Messages go out by the wall clock, whatever clock the monitors live by.
    deliverer = Deliverer(
        engine,
        now=lambda: datetime.now(UTC),
        allow_networks=settings.notify.allow_networks,
        vault=Vault.at(settings.notify.secrets_key, settings.secrets_key_file),
        commands=commands_of(settings.notify.commands),
        poll_s=settings.alarms.poll_s,
    )
    policy = Upkeep(
        engine,
        now=lambda: datetime.now(UTC),
        retention_days=settings.alarms.retention_days,
        digest=settings.notify.digest,
        poll_s=min(settings.alarms.poll_s, 1.0),
    )
    return {
        "alarms": evaluator.run,
        "detectors": trainer.run,
        "deliveries": deliverer.run,
        "policy": policy.run,
        "metrics": MetricUpkeep(engine, now).run,
    }
