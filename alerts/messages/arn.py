"""Names of alarms in the form that AWS's tools expect."""

from __future__ import annotations

__all__ = ["ACCOUNT", "REGION", "REGION_NAME", "alarm_arn"]

# Receivers of CloudWatch messages parse these; a self-hosted installation has neither.
ACCOUNT = "000000000000"
REGION = "us-east-1"
REGION_NAME = "US East (N. Virginia)"


def alarm_arn(name: str) -> str:
    """Give the alarm's name in the form that AWS's tools expect."""
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"
