"""Whether the stores take what is written: the database, every disk that is used; the bucket.

A store that is away takes no server out of service: docs/why/hosting.md.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from driftline.database.probe import write_failure
from driftline.serving.context import ServerContext
from driftline.storage import bucket_failure, disk_failure, is_remote, open_uri

log = logging.getLogger(__name__)

Problems = dict[str, object]
EVERY_S = 15.0
# Whoever asks more often gets the answer of the last look.
_FRESH_S = 2.0
# A disk of the network may hang for as long as its server is away.
PATIENCE_S = 3.0
# A bucket elsewhere takes a second now and then; its client tries again for a minute.
FAR_PATIENCE_S = 10.0
# Probes are given a second, as a rule.
MOMENT_S = 0.5
NO_ANSWER: Problems = {"stores": "no answer yet"}


class Health:
    """Looks every few seconds, by a write, at the database and at each disk that is used."""

    def __init__(
        self, context: ServerContext, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._context = context
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked_s = -_FRESH_S
        self._began_s: float | None = None
        self._found: Problems = {}
        self._looking: Future[Problems] | None = None
        self._looking_far: threading.Thread | None = None
        self._far: Problems = {}
        self._far_began_s = 0.0

    @property
    def last(self) -> Problems:
        """The result of the last check, and whether the current one has no answer yet."""
        began_s = self._began_s
        is_late = began_s is not None and self._monotonic() - began_s > PATIENCE_S
        return self._found | NO_ANSWER if is_late else self._found

    @property
    def far(self) -> Problems:
        """The problem of the bucket when it last answered, or that it does not answer."""
        waits_s = self._monotonic() - self._far_began_s
        if self._looks_far() and waits_s > FAR_PATIENCE_S:
            return {"storage": f"the storage has not answered for {waits_s:.0f} s"}
        return self._far

    def look(self) -> Problems:
        """Return what is wrong with the stores, by what it is; empty when nothing is.

        While another look waits for an answer: what was found before, and that it waits.
        """
        if not self._lock.acquire(timeout=PATIENCE_S):
            return self._found | NO_ANSWER
        try:
            if self._monotonic() - self._looked_s >= _FRESH_S:
                self._began_s = self._monotonic()
                problems = self._problems()
                if problems != self._found:
                    log.warning("health problems=%s", problems or "none")
                self._found, self._looked_s = problems, self._monotonic()
            return self._found
        finally:
            self._began_s = None
            self._lock.release()

    async def ask(self) -> Problems:
        """Return what a look finds, or what `last` says where that takes longer than a moment.

        It has a thread of its own, and never two: requests may have taken all others.
        """
        looking = self._looking
        if looking is None or looking.done():
            looking = self._looking = Future()
            looking.set_running_or_notify_cancel()
            threading.Thread(
                target=lambda: looking.set_result(self.look()), name="health", daemon=True
            ).start()
        await asyncio.wait((asyncio.wrap_future(looking),), timeout=MOMENT_S)
        return looking.result() if looking.done() else self.last

    def look_far(self) -> None:
        """Begin to look at the bucket, in a thread of its own, unless one waits for an answer."""
        if not self._looks_far():
            self._far_began_s = self._monotonic()
            self._looking_far = threading.Thread(target=self._ask_bucket, name="far", daemon=True)
            self._looking_far.start()

    def _looks_far(self) -> bool:
        return self._looking_far is not None and self._looking_far.is_alive()

    def _ask_bucket(self) -> None:
        failure = bucket_failure(self._context.root)
        if failure != self._far.get("storage", ""):
            log.warning("health storage=%s", failure or "answers")
        self._far = {"storage": failure} if failure else {}

    async def run(self) -> None:
        """Look now and then, so that who only asks whether we live is told, too."""
        while True:
            self.look_far()
            await self.ask()
            await asyncio.sleep(EVERY_S)

    def _problems(self) -> Problems:
        problems: Problems = {}
        try:
            if failure := write_failure(self._context.engine):
                problems["database"] = failure
            if failures := list(filter(None, map(disk_failure, disks(self._context)))):
                problems["disks"] = failures
        except Exception as error:  # What ends the look leaves everybody told that all is well.
            log.exception("health look failed")
            problems["health"] = f"the look at the stores failed: {error}"
        return problems


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
