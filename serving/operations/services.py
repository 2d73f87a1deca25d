"""What operations work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from driftline.alerts.math.band_models import BandModels
from driftline.capture.events.pairing import Pairing
from driftline.capture.events.undeclared import UndeclaredEndpoints
from driftline.serving.asynchronous.dispatch import AsyncInvocations
from driftline.serving.context import ServerContext
from driftline.serving.health import Health
from driftline.serving.hosting.asked_models import EndpointModels
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.metrics.exposition import Exposition
from driftline.serving.provisioning.apply import Applier
from driftline.serving.transform.dispatch import TransformJobs


@dataclass(frozen=True)
class Services:
    """The parts of a server, built once with it."""

    context: ServerContext
    applier: Applier
    reconciler: EndpointReconciler
    models: EndpointModels
    later: AsyncInvocations
    jobs: TransformJobs
    pairing: Pairing
    undeclared: UndeclaredEndpoints
    health: Health
    exposition: Exposition
    # Of alarms with bands, as last trained; kept from one request to the next.
    bands: BandModels = field(default_factory=BandModels)
