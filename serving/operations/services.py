"""What operations work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from driftline.alerts.math.band_models import BandModels
from driftline.baseline.cache import BaselineCache
from driftline.capture.events.pairing import Pairing
from driftline.capture.events.undeclared import UndeclaredEndpoints
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.run.job import Job
from driftline.serving.asynchronous.dispatch import AsyncInvocations
from driftline.serving.context import ServerContext
from driftline.serving.health import Health
from driftline.serving.hosting.asked_models import EndpointModels
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.jobs.processes import JobProcesses
from driftline.serving.metrics.exposition import Exposition
from driftline.serving.provisioning.apply import Applier
from driftline.serving.resources.endpoints import require_signature


@dataclass(frozen=True)
class Services:
    """The parts of a server, built once with it."""

    context: ServerContext
    applier: Applier
    reconciler: EndpointReconciler
    models: EndpointModels
    later: AsyncInvocations
    jobs: JobProcesses
    pairing: Pairing
    undeclared: UndeclaredEndpoints
    health: Health
    exposition: Exposition
    # Of alarms with bands, as last trained; kept from one request to the next.
    bands: BandModels = field(default_factory=BandModels)

    def job(self, definition: MonitorDefinition, window: Window) -> Job:
        """Return what it takes to judge one window, or others by what was loaded for the first."""
        context = self.context
        endpoint, signature, predict = definition.endpoint, None, None
        if definition.source is None:
            signature = require_signature(context.engine, endpoint)
        if definition.kind_value.needs_model:
            predict = self.models.open(endpoint, definition.variant)
        return Job(
            context.engine,
            context.root,
            definition,
            window,
            now=context.now,
            baselines=BaselineCache().get,
            drift_tests=DriftTestCache(),
            signature=signature,
            predict=predict,
            scripts_dir=context.settings.scheduler.scripts_dir,
            commands_dir=context.settings.scheduler.commands_dir,
            retention=timedelta(days=context.settings.capture.retention_days),
            access=context.access,
        )
