"""The operations of the programming interface: one typed function each; `registry.py` says how."""

from driftline.serving.operations import access, alarms, detectors

AREAS = (access, alarms, detectors)
