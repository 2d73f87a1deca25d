"""Whether the stores take writes; one that is away takes no server out of service."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from driftline.database.dialects import write_failure
from driftline.serving.context import ServerContext
from driftline.storage import bucket_failure, disk_failure, is_remote, open_uri

log = logging.getLogger(__name__)

EVERY_S = 5.0
# A disk of the network may hang for as long as its server is away.
PATIENCE_S = 5.0


class Health:
    """Looks at each store every few seconds, in threads apart: one that hangs holds up no other."""

    def __init__(
        self, context: ServerContext, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._looks: Mapping[str, Callable[[], object]] = {
            "database": lambda: write_failure(context.engine),
            "disks": lambda: [*filter(None, map(disk_failure, disks(context)))],
            "storage": lambda: bucket_failure(context.root),
        }
        self._found: dict[str, object] = {}
        self._began_s: dict[str, float] = {}  # Of looks without an answer yet.

    @property
    def problems(self) -> dict[str, object]:
        """What was wrong with each store when it was last looked at; empty when nothing was."""
        now = self._monotonic()
        found = {name: problem for name, problem in dict(self._found).items() if problem}
        for name, began_s in dict(self._began_s).items():
            if now - began_s > PATIENCE_S:
                found[name] = f"no answer for {now - began_s:.0f} s"
        return found

    async def run(self) -> None:
        """Look now and then."""
        while True:
            self.look()
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Begin each look that waits for no answer."""
        for name in self._looks:
            if name not in self._began_s:
                self._began_s[name] = self._monotonic()
                threading.Thread(target=self._look, args=(name,), name=name, daemon=True).start()

    def _look(self, name: str) -> None:
        try:
            problem = self._looks[name]()
        except Exception as error:  # What ends the look leaves everybody told that all is well.
            log.exception("health look=%s failed", name)
            problem = f"the look failed: {error}"
        if bool(problem) != bool(self._found.get(name)):
            log.warning("health %s=%s", name, problem or "ok")
        self._found[name] = problem
        del self._began_s[name]


def disks(context: ServerContext) -> list[Path]:
    """Return the local folders that are written to, each once."""
    folders = [context.spool_dir]
    if not is_remote(context.root):
        folders.append(Path(open_uri(context.root)[1]))
    folders.append(context.local_dir)
    database = context.engine.url.database
    if context.engine.dialect.name == "sqlite" and database and database != ":memory:":
        folders.append(Path(database).absolute().parent)
    return list(dict.fromkeys(folders))
