"""What the capture table of an endpoint holds by now."""

from __future__ import annotations

from datetime import UTC, datetime

from driftline.capture.audit.report import EndpointReport, report


def counted(root: str, endpoint: str) -> EndpointReport:
    return report(root, endpoint, now=datetime.now(UTC))
