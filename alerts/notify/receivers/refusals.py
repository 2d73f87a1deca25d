"""Retries: answers after which another is in vain. Standard library only, for child processes."""

from __future__ import annotations

# Of all 4xx these may be taken later: Request Timeout, Too Early, Too Many Requests (RFC 9110, 8470
# and 6585). Prometheus Alertmanager and Grafana give up at once after the others, too.
LATER_STATUSES = frozenset({408, 425, 429})
# By sysexits.h programs that deliver mail say so; all but EX_TEMPFAIL.
FINAL_CODES = frozenset(range(64, 79)) - {75}
EX_NOPERM = 77


def is_final_status(status: int | None) -> bool:
    """Whether an HTTP status says that trying again does not help."""
    return status is not None and 400 <= status < 500 and status not in LATER_STATUSES
