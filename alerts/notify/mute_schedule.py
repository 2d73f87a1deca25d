"""Maintenance windows, as CloudWatch's alarm mute rules have them.

``cron(minute hour day-of-month month day-of-week)`` or ``at(yyyy-MM-ddThh:mm)``, a duration in ISO
8601 and a time zone. A window begins where the expression fires and is half-open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from cronsim import CronSim, CronSimError
from pydantic import ValidationError, model_validator

from driftline.alerts.documents import Document
from driftline.alerts.errors import SilenceError
from driftline.local_time import cron_moments, find_zone

_EXPRESSION_MAX = 256
_MINUTE = timedelta(minutes=1)
_SHORTEST, _LONGEST = _MINUTE, timedelta(days=15)
_CRON = re.compile(r"cron\(([^()]*)\)", re.IGNORECASE)
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2})\)", re.IGNORECASE)
_DURATION = re.compile(r"P(?:(\d{1,3})D)?(?:T(?=\d)(?:(\d{1,4})H)?(?:(\d{1,5})M)?)?")
_ZONE = re.compile(r"[A-Za-z0-9_+\-/]{1,50}")


class MuteSchedule(Document):
    """When a mute rule mutes."""

    error = SilenceError

    expression: str  # ``cron(0 2 * * SUN)``, or ``at(2026-12-23T00:00)`` for one window.
    duration: str  # ISO 8601, ``PT1M`` to ``P15D``.
    timezone: str = "UTC"  # An IANA name.

    @model_validator(mode="after")
    def _check(self) -> MuteSchedule:
        if _ZONE.fullmatch(self.timezone) is None or find_zone(self.timezone) is None:
            raise SilenceError(
                f'timezone "{self.timezone[:60]}"; expected a name such as "Europe/Berlin"'
            )
        if not _SHORTEST <= self.length <= _LONGEST:
            raise SilenceError(f'duration "{self.duration}"; expected PT1M to P15D')
        self._check_expression()
        return self

    @classmethod
    def sentence(cls, error: ValidationError, given: Mapping[str, Any]) -> str:
        """Return what is wrong with the fields, of which all are texts."""
        wrong = [str(one["loc"][0]) for one in error.errors() if one["type"] != "missing"]
        if not wrong:
            return "schedule: expression or duration is missing; expected both"
        known = ", ".join(cls.model_fields)
        return f"schedule {wrong[0]} {given.get(wrong[0])!r}; expected texts for {known}"[:200]

    @property
    def length(self) -> timedelta:
        """How long a window is."""
        found = _DURATION.fullmatch(self.duration)
        if found is None or not any(found.groups()):
            raise SilenceError(
                f'duration "{self.duration[:60]}"; expected ISO 8601, such as PT4H or P2DT12H'
            )
        days, hours, minutes = (int(part or 0) for part in found.groups())
        return timedelta(days=days, hours=hours, minutes=minutes)

    @property
    def _zone(self) -> tzinfo:
        zone = find_zone(self.timezone)
        assert zone is not None  # Checked when it was made.
        return zone

    @property
    def is_recurring(self) -> bool:
        """Whether there is more than one window."""
        return _AT.fullmatch(self.expression) is None

    def window(self, time: datetime) -> tuple[datetime, datetime] | None:
        """Return begin and end of the newest window that a time lies in; None outside of any."""
        begin = self._fired_by(time)
        if begin is None or time >= begin + self.length:
            return None
        return begin, begin + self.length

    def last_end(self) -> datetime | None:
        """Return when the only window ends; None for one that comes again."""
        found = _AT.fullmatch(self.expression)
        return None if found is None else self._local(found[1]) + self.length

    def _fired_by(self, time: datetime) -> datetime | None:
        """Return when the expression fired last, at this time at the latest."""
        if found := _AT.fullmatch(self.expression):
            begin = self._local(found[1])
            return begin if begin <= time else None
        fields = _CRON.fullmatch(self.expression)
        assert fields is not None  # Checked when it was made.
        zone = self._zone
        local = time.astimezone(zone).replace(second=0, microsecond=0)
        minute, wall = local.astimezone(UTC), local.replace(tzinfo=None)
        # In an hour that comes twice the clock on the wall has shown later times already.
        later = minute - local.replace(fold=0).astimezone(UTC)
        newest = None
        for fired in CronSim(fields[1], wall + later + _MINUTE, reverse=True):
            moments = [one for one in cron_moments(fields[1], fired, zone) if one <= minute]
            newest = max([*moments, newest] if newest is not None else moments, default=None)
            if newest is not None and fired <= wall:
                break
        return newest

    def _check_expression(self) -> None:
        form = (
            'expected "cron(minute hour day-of-month month day-of-week)" or "at(yyyy-MM-ddThh:mm)"'
        )
        where = f'expression "{self.expression[:80]}"'
        if len(self.expression) > _EXPRESSION_MAX:
            raise SilenceError(f"{where}; expected {_EXPRESSION_MAX} characters or fewer")
        try:
            if at := _AT.fullmatch(self.expression):
                self._local(at[1])
            elif fields := _CRON.fullmatch(self.expression):
                if len(fields[1].split()) != 5:
                    raise SilenceError(f"{where} has not five fields; {form}")
                next(CronSim(fields[1], datetime(2024, 1, 1, tzinfo=UTC)))
            else:
                raise SilenceError(f"{where}; {form}")
        except CronSimError as error:
            raise SilenceError(f"{where}: {str(error).lower()}; {form}") from error
        except StopIteration:
            raise SilenceError(f"{where} never fires; {form}") from None
        except (ValueError, OverflowError) as error:
            raise SilenceError(f"{where}: {error}; {form}") from error

    def _local(self, text: str) -> datetime:
        local = datetime.fromisoformat(text).replace(tzinfo=self._zone)
        return local.astimezone(UTC)
