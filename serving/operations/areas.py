"""All areas of operations: to import them registers them."""

from driftline.serving.operations import (
    access,
    alarms,
    async_invocations,
    baselines,
    captures,
    detectors,
    erasures,
    labels,
    logs,
    metrics,
    notifications,
    resources,
    server,
    transform_jobs,
)

AREAS = (
    server,
    access,
    alarms,
    async_invocations,
    baselines,
    captures,
    detectors,
    erasures,
    labels,
    logs,
    metrics,
    notifications,
    resources,
    transform_jobs,
)
