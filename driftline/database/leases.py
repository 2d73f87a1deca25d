"""Leases: one worker at a time has a row, and loses it when it stops renewing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, or_
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class Lease:
    """Two columns of a table: the worker that has a row, and until when unless it renews."""

    owner: Column[str]
    until: Column[datetime]
    length: timedelta

    def is_free(self, now: datetime) -> ColumnElement[bool]:
        """Select rows whose lease was released, has run out, or is longer than any lease.

        Then the owner's clock was far ahead. By a whole length more: an owner may renew a moment
        after `now` was read, and keeps its own.
        """
        is_too_long = self.until > now + 2 * self.length
        return or_(self.until.is_(None), self.until <= now, is_too_long)

    def is_owned(self, owner: str) -> ColumnElement[bool]:
        """Select rows that this worker took last and has not released."""
        return self.owner == owner

    def taken(self, owner: str, now: datetime) -> Values:
        """Return what to write to take or renew the lease."""
        return {self.owner.name: owner, self.until.name: now + self.length}

    def released(self) -> Values:
        """Return what to write to give the lease back."""
        return {self.owner.name: None, self.until.name: None}


def renewing(
    renew: Callable[[], object], every_s: float, what: str
) -> AbstractContextManager[None]:
    """Renew a lease in the background until the block ends, however long it lasts."""

    def keep() -> None:
        try:
            renew()
        except SQLAlchemyError as error:  # Tried again; the block notices a lease that is lost.
            log.warning("%s lease_not_renewed error=%s", what, error)

    return repeating(keep, every_s, "lease")


@contextmanager
def repeating(work: Callable[[], None], every_s: float, name: str) -> Iterator[None]:
    """Call a function in the background, in a thread of this name, until the block ends."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(every_s):
            work()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
