"""Names of alarms in the forms that other tools expect."""

from __future__ import annotations

import hashlib

# Receivers of CloudWatch messages parse these; a self-hosted installation has neither.
ACCOUNT = "000000000000"
REGION = "us-east-1"
REGION_NAME = "US East (N. Virginia)"


def alarm_arn(name: str) -> str:
    """Return the alarm's name in the form that AWS's tools expect."""
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def dedup_key(name: str) -> str:
    """Return the key by which an incident service knows an alarm again; names are free text."""
    return f"driftline-{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
