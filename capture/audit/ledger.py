"""The ledger of audits: an account of each part of each table, kept beside the tables.

With it an audit reads only files that are new, and knows what retention has removed since. It is a
note, not a truth: without it everything is read again, and only what had gone before cannot be
told from what is missing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from driftline.capture.audit.account import Account, add_accounts
from driftline.capture.tables.storage import get_file, put_file

FOLDER = "audit"
_NAME = "ledger.json.gz"
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One day of an endpoint's table, as last added up.

    ``files``: the files that were read, by name, with their sizes in bytes; ``accounts``: what they
    hold, by spool.
    """

    files: Mapping[str, int]
    accounts: Mapping[str, Account]


@dataclass(slots=True)
class Ledger:
    """The accounts that earlier audits have left.

    ``expired``: what retention has removed, by spool; ``verified``: up to which number a spool was
    once found complete; ``carried``: the endpoints whose tables have had records of a spool;
    ``digests``: the account of 1 to n of a spool, so that the next audit goes on from there.
    """

    parts: dict[tuple[str, str], Part] = field(default_factory=dict)
    expired: dict[str, Account] = field(default_factory=dict)
    verified: dict[str, int] = field(default_factory=dict)
    carried: dict[str, list[str]] = field(default_factory=dict)
    digests: dict[str, Account] = field(default_factory=dict)

    def held(self) -> dict[str, Account]:
        """Add up what the tables hold, by spool."""
        total: dict[str, Account] = {}
        for part in self.parts.values():
            add_accounts(total, part.accounts)
        return total

    def requests(self) -> dict[str, int]:
        """Count the requests that each endpoint's table holds."""
        return self._by_endpoint(lambda account: account.requests)

    def undecodable(self) -> dict[str, int]:
        """Count the requests of each endpoint's table that could not be decoded."""
        return self._by_endpoint(lambda account: account.undecodable)

    def _by_endpoint(self, count: Callable[[Account], int]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for (endpoint, _), part in self.parts.items():
            counts[endpoint] = counts.get(endpoint, 0) + sum(map(count, part.accounts.values()))
        return counts

    def carry(self, endpoint: str, spools: Iterable[str]) -> None:
        """Record which endpoints' records each spool carries; kept when the rows are gone."""
        for spool_id in spools:
            endpoints = self.carried.setdefault(spool_id, [])
            if endpoint not in endpoints:
                self.carried[spool_id] = sorted([*endpoints, endpoint])

    def write(self, root: str) -> None:
        """Write the ledger below the storage root, atomically."""
        document = {
            "version": _VERSION,
            "parts": [
                {
                    "endpoint": endpoint,
                    "day": day,
                    "files": dict(part.files),
                    "accounts": dict(part.accounts),
                }
                for (endpoint, day), part in self.parts.items()
            ],
            "expired": self.expired,
            "verified": self.verified,
            "carried": self.carried,
            "digests": self.digests,
        }
        put_file(root, FOLDER, _NAME, gzip.compress(json.dumps(document).encode(), mtime=0))


def read_ledger(root: str) -> Ledger:
    """Read what earlier audits have left; an empty ledger where there is none, or none of ours."""
    data = get_file(root, FOLDER, _NAME)
    if data is None:
        return Ledger()
    try:
        document = json.loads(gzip.decompress(data))
    except (OSError, ValueError, EOFError):
        return Ledger()
    if document.get("version") != _VERSION:
        return Ledger()
    return Ledger(
        {
            (part["endpoint"], part["day"]): Part(part["files"], _accounts(part["accounts"]))
            for part in document["parts"]
        },
        _accounts(document["expired"]),
        dict(document["verified"]),
        dict(document["carried"]),
        _accounts(document["digests"]),
    )


def _accounts(document: Mapping[str, Any]) -> dict[str, Account]:
    return {spool_id: Account(*numbers) for spool_id, numbers in document.items()}
