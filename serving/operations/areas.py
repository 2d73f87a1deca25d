"""All areas of operations: to import them registers them."""

from driftline.serving.operations import (
    access,
    alarms,
    baselines,
    captures,
    detectors,
    erasures,
    labels,
    metrics,
    notifications,
    resources,
    server,
)

AREAS = (
    server,
    access,
    alarms,
    baselines,
    captures,
    detectors,
    erasures,
    labels,
    metrics,
    notifications,
    resources,
)
