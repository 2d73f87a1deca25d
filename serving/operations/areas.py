"""All areas of operations: to import them registers them."""

from driftline.serving.operations import (
    access,
    alarms,
    async_invocations,
    baselines,
    captures,
    detectors,
    erasures,
    executions,
    labels,
    logs,
    metrics,
    monitors,
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
    executions,
    labels,
    logs,
    metrics,
    monitors,
    notifications,
    resources,
    transform_jobs,
)
