"""Reads one declared rule: checks its keys, with a sentence for each error."""

from __future__ import annotations

import difflib
import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import numpy as np

from driftline.errors import InputError
from driftline.monitors.results.violation import Severity
from driftline.monitors.rules.condition import SqlCondition
from driftline.monitors.rules.limits import Limit
from driftline.monitors.rules.reach import NOTHING, Reach

SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|min|s|days?|hours?|minutes?|seconds?)")
SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def read_span(given: object) -> timedelta | None:
    """Read a span of time above 0: seconds, or a text such as ``36h``; None for anything else."""
    seconds = 0.0
    if isinstance(given, str) and given.strip():
        for part in re.split(r"\s+(?=\d)", given.strip()):
            matched = SPAN.fullmatch(part)
            if matched is None:
                return None
            seconds += float(matched[1]) * SECONDS[matched[2][0]]
    elif isinstance(given, int | float) and not isinstance(given, bool):
        seconds = float(given)
    # A century: beyond it, times overflow.
    return timedelta(seconds=seconds) if 0 < seconds <= 3.2e9 else None


@dataclass(frozen=True, slots=True)
class Declaration:
    """The keys of one rule, read by type; leftover ones are refused."""

    found: Mapping[str, Any]
    as_of: datetime | None = None  # When freshness is measured, where no rule says.
    reach: Reach = NOTHING

    @property
    def check(self) -> str:
        """The name of the check."""
        return self.text("check")

    @property
    def shown(self) -> str:
        """The rule in a sentence: its name, or its check and column."""
        own = self.found.get("name") or self.found.get("column") or self.found.get("expression")
        if own is None and "query" in self.found:
            own = in_brief(self.found["query"])
        check = self.found.get("check", "?")
        return f'rule "{check}"' if own is None else f'rule "{check}" ({own})'

    def wrong(self, key: str, expected: str) -> InputError:
        """Make the error for a value that is not as expected."""
        found = in_brief(self.found.get(key))
        return InputError(f"{self.shown}: {key} is {found}; expected {expected}")

    def get(self, key: str) -> object:
        """Return a raw value; None when it is missing."""
        return self.found.get(key)

    def text(self, key: str, *, default: str | None = None) -> str:
        """Return a text; without a default it is required and not empty.

        A column may have the empty name: pandas and Parquet allow it.
        """
        found = self.found.get(key, default)
        may_be_empty = default is not None or key == "column"
        if not isinstance(found, str) or not (found or may_be_empty):
            raise self.wrong(key, "a text")
        return found

    def texts(self, key: str, *, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of texts; one text stands for a list of it."""
        found = self.found.get(key, default)
        if isinstance(found, str):
            found = (found,)
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
            raise self.wrong(key, "a list of texts")
        if not found and default is None:
            raise self.wrong(key, "at least one text")
        if twice := [one for one in found if list(found).count(one) > 1]:
            raise self.wrong(key, f'each name once ("{twice[0]}" stands twice)')
        return tuple(found)

    def scalars(self, key: str) -> tuple[str, ...]:
        """Return allowed values as the texts that they are compared as."""
        found = self.found.get(key)
        if not isinstance(found, list | tuple) or not found:
            raise self.wrong(key, "a list of values")
        return tuple(self._scalar(key, one) for one in found)

    def _scalar(self, key: str, found: object) -> str:
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, float) and math.isfinite(found):
            return str(int(found)) if found == int(found) else repr(found)
        if isinstance(found, int | str):
            return str(found)
        raise self.wrong(key, "a list of texts and numbers (null is judged by not_null)")

    def truth(self, key: str) -> bool:
        """Return true or false; false when it is not there."""
        found = self.found.get(key, False)
        if not isinstance(found, bool):
            raise self.wrong(key, "true or false")
        return found

    def share(self, key: str, *, default: float | None = 1.0) -> float:
        """Return a share from 0 to 1; without a default it must be there."""
        found = self.found.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
            raise self.wrong(key, "a share from 0 to 1, such as 0.99")
        return float(found)

    def count(self, key: str) -> int | None:
        """Return a whole number that is not negative; None when it is not there."""
        found = self.found.get(key)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise self.wrong(key, "a whole number, 0 or more")
        return found

    def limit(self, key: str) -> Limit | None:
        """Return a bound: a number, or a time as ISO 8601 text; None when it is not there."""
        found = self.found.get(key)
        if found is None:
            return None
        if isinstance(found, date):  # As YAML reads 2026-01-31; a datetime is a date, too.
            found = found.isoformat()
        if isinstance(found, str):
            return self._moment(key, found)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.wrong(key, 'a number, or a time such as "2026-01-31"')
        if isinstance(found, float) and not math.isfinite(found):  # JSON has no word for these.
            raise self.wrong(key, 'a number, or a time such as "2026-01-31"')
        if isinstance(found, int) and abs(found) >= 2**63:
            if abs(found) > 1e300:
                raise self.wrong(key, "a number below 1e300")
            return float(found)
        return found

    def _moment(self, key: str, text: str) -> str:
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):  # Beyond the years 1 to 9999 in UTC.
            raise self.wrong(key, 'a number, or a time such as "2026-01-31"') from None
        return str(np.datetime64(moment, "us")) if moment.time().isoformat() != "00:00:00" else (
            moment.date().isoformat()
        )  # fmt: skip

    def moment(self, key: str) -> datetime | None:
        """Return a time with its zone, UTC when it names none; None when it is not there."""
        found = self.limit(key)
        if found is None:
            return None
        if not isinstance(found, str):
            raise self.wrong(key, 'a time such as "2026-01-31T00:00:00Z"')
        return datetime.fromisoformat(found).replace(tzinfo=UTC)

    def span(self, key: str) -> timedelta:
        """Return a span of time: seconds, or a text such as ``36h`` or ``1d 12h``."""
        found = read_span(self.found.get(key))
        if found is None:
            raise self.wrong(key, 'a span above 0 such as "36h", "1d 12h" or a number of seconds')
        return found

    def condition(self, key: str) -> SqlCondition | None:
        """Return a condition; None when it is not there."""
        if key not in self.found:
            return None
        try:
            return SqlCondition(self.text(key))
        except InputError as error:
            raise InputError(f"{self.shown}: {key}: {error}") from error

    def severity(self) -> Severity | None:
        """Return "page" or "ticket"; None leaves it to how much is wrong."""
        found = self.found.get("severity")
        if found not in (None, "page", "ticket"):
            raise self.wrong("severity", '"page" or "ticket"')
        return cast(Severity | None, found)

    def nulls_fail(self) -> bool:
        """Whether a missing value breaks the rule."""
        found = self.found.get("nulls", "pass")
        if found not in ("pass", "fail"):
            raise self.wrong("nulls", '"pass" or "fail"')
        return bool(found == "fail")

    def refuse_others(self, known: Iterable[str]) -> None:
        """Refuse keys that the check does not know, with the nearest one that it does."""
        names = list(known)
        for key in self.found:
            if key not in names:
                raise InputError(
                    f'{self.shown}: unknown key "{key}"{nearest(key, names)}; '
                    f"expected {', '.join(names)}"
                )


def in_brief(found: object) -> str:
    """Write a value for a sentence, cut where it is long; YAML's aliases can make it endless."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 100
    brief.maxlevel = 3
    return brief.repr(found)


def nearest(wrong: object, known: Iterable[str]) -> str:
    """Return `` (did you mean "…"?)``, or nothing."""
    found = difflib.get_close_matches(str(wrong), list(known), n=1)
    return f' (did you mean "{found[0]}"?)' if found else ""
