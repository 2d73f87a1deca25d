"""All areas of operations: to import them registers them, in the order in which they are asked."""

from driftline.serving.operations import (
    access,
    alarms,
    baselines,
    captures,
    detectors,
    erasures,
    labels,
    notifications,
    resources,
    server,
)

# The last takes any collection.
AREAS = (
    server,
    access,
    alarms,
    baselines,
    captures,
    detectors,
    erasures,
    labels,
    notifications,
    resources,
)
