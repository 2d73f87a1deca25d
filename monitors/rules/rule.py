"""One declared rule: its keys are read by type, with a sentence for each error."""

from __future__ import annotations

import difflib
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard, cast

import numpy as np

from driftline.errors import InputError
from driftline.monitors.results.violation import Severity
from driftline.monitors.rules.condition import SqlCondition
from driftline.monitors.rules.limits import Limit
from driftline.monitors.rules.reach import NOTHING, Reach

SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|min|s|days?|hours?|minutes?|seconds?)")
SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
BOUND = 'a number, or a time such as "2026-01-31"'


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, as it was declared."""

    declared: Mapping[str, Any]
    # Over a table, in place of a declared check; from Python only.
    function: Callable[..., object] | None = field(default=None, compare=False)
    reach: Reach = NOTHING
    as_of: datetime | None = None  # When freshness is measured, where it is not declared.

    @property
    def check(self) -> str:
        """The name of the check."""
        return self.text("check")

    @property
    def name(self) -> str:
        """The rule's own name; empty when it has none."""
        return str(self.declared.get("name") or "")

    @property
    def shown(self) -> str:
        """The rule in a sentence: its name, or its check and column."""
        own = self.name or self.declared.get("column") or self.declared.get("expression")
        if own is None and "query" in self.declared:
            own = in_brief(self.declared["query"])
        check = self.declared.get("check", "?")
        return f'rule "{check}"' if own is None else f'rule "{check}" ({own})'

    def wrong(self, key: str, expected: str) -> InputError:
        """Make the error for a value that is not as expected."""
        found = in_brief(self.declared.get(key))
        return InputError(f"{self.shown}: {key} is {found}; expected {expected}")

    def text(self, key: str, *, default: str | None = None) -> str:
        """Return a text; without a default it is required and not empty.

        A column may have the empty name: pandas and Parquet allow it.
        """
        found = self.declared.get(key, default)
        may_be_empty = default is not None or key == "column"
        if not isinstance(found, str) or not (found or may_be_empty):
            raise self.wrong(key, "a text")
        return found

    def texts(self, key: str, *, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of texts; one text stands for a list of it."""
        found = self.declared.get(key, default)
        if isinstance(found, str):
            found = (found,)
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
            raise self.wrong(key, "a list of texts")
        if not found and default is None:
            raise self.wrong(key, "at least one text")
        if twice := [one for one in found if list(found).count(one) > 1]:
            raise self.wrong(key, f'each name once ("{twice[0]}" stands twice)')
        return tuple(found)

    def values(self) -> tuple[str, ...]:
        """Return the listed values as the texts that they are compared as."""
        found = self.declared.get("values")
        if not isinstance(found, list | tuple) or not found:
            raise self.wrong("values", "a list of values")
        if not all(isinstance(one, str | bool) or _is_number(one) for one in found):
            raise self.wrong("values", "a list of texts and numbers (null is judged by not_null)")
        return tuple(_value_text(one) for one in found)

    def truth(self, key: str) -> bool:
        """Return true or false; false when it is not there."""
        found = self.declared.get(key, False)
        if not isinstance(found, bool):
            raise self.wrong(key, "true or false")
        return found

    def share(self, key: str, *, default: float | None = 1.0) -> float:
        """Return a share from 0 to 1; without a default it must be there."""
        found = self.declared.get(key, default)
        if not _is_number(found) or not 0 <= found <= 1:
            raise self.wrong(key, "a share from 0 to 1, such as 0.99")
        return float(found)

    def count(self, key: str) -> int | None:
        """Return a whole number that is not negative; None when it is not there."""
        found = self.declared.get(key)
        if found is not None and not (_is_number(found) and isinstance(found, int) and found >= 0):
            raise self.wrong(key, "a whole number, 0 or more")
        return found

    def limit(self, key: str) -> Limit | None:
        """Return a bound: a number, or a time as ISO 8601 text; None when it is not there."""
        found = self.declared.get(key)
        if isinstance(found, str):
            return self._moment(key, found)
        if found is not None and not _is_number(found):  # JSON has no word for infinite ones.
            raise self.wrong(key, BOUND)
        if isinstance(found, int) and abs(found) >= 2**63:
            if abs(found) > 1e300:
                raise self.wrong(key, "a number below 1e300")
            return float(found)
        return cast(Limit | None, found)

    def _moment(self, key: str, text: str) -> str:
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):  # Beyond the years 1 to 9999 in UTC.
            raise self.wrong(key, BOUND) from None
        return str(np.datetime64(moment, "us")) if moment.time().isoformat() != "00:00:00" else (
            moment.date().isoformat()
        )  # fmt: skip

    def moment(self, key: str) -> datetime | None:
        """Return a time with its zone, UTC when it names none; None when it is not there."""
        found = self.limit(key)
        if found is not None and not isinstance(found, str):
            raise self.wrong(key, 'a time such as "2026-01-31T00:00:00Z"')
        return None if found is None else datetime.fromisoformat(found).replace(tzinfo=UTC)

    def span(self, key: str) -> timedelta:
        """Return a span of time: seconds, or a text such as ``36h`` or ``1d 12h``."""
        found, seconds = self.declared.get(key), 0.0
        if isinstance(found, str):
            parts = [SPAN.fullmatch(part) for part in re.split(r"\s+(?=\d)", found.strip())]
            seconds = sum(float(one[1]) * SECONDS[one[2][0]] for one in parts if one is not None)
            seconds = 0.0 if None in parts else seconds
        elif _is_number(found):
            seconds = float(found)
        if not 0 < seconds <= 3.2e9:  # A century: beyond it, times overflow.
            raise self.wrong(key, 'a span above 0 such as "36h", "1d 12h" or a number of seconds')
        return timedelta(seconds=seconds)

    def condition(self, key: str) -> SqlCondition | None:
        """Return a condition; None when it is not there."""
        if key not in self.declared:
            return None
        try:
            return SqlCondition(self.text(key))
        except InputError as error:
            raise InputError(f"{self.shown}: {key}: {error}") from error

    @property
    def severity(self) -> Severity | None:
        """Whether it is a page or a ticket; None leaves it to how much is wrong."""
        return cast(Severity | None, self._one_of("severity", "page", "ticket"))

    @property
    def nulls_fail(self) -> bool:
        """Whether a missing value breaks the rule."""
        return self._one_of("nulls", "pass", "fail") == "fail"

    def _one_of(self, key: str, first: str, second: str) -> str | None:
        found = self.declared.get(key)
        if found not in (None, first, second):
            raise self.wrong(key, f'"{first}" or "{second}"')
        return cast(str | None, found)

    def refuse_others(self, known: Iterable[str]) -> None:
        """Refuse keys that the check does not know, with the nearest one that it does."""
        names = list(known)
        if others := [key for key in self.declared if key not in names]:
            raise InputError(
                f'{self.shown}: unknown key "{others[0]}"{nearest(others[0], names)}; '
                f"expected {', '.join(names)}"
            )


def _is_number(found: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number; a truth value is none."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return -math.inf < found < math.inf


def _value_text(found: object) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    return str(int(found)) if isinstance(found, float) and found == int(found) else str(found)


def in_brief(found: object) -> str:
    """Write a value for a sentence, cut where it is long; YAML's aliases can make it endless."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 100
    brief.maxlevel = 3
    shown = brief.repr(found)
    return shown if len(shown) <= 100 else f"{shown[:99]}…"


def nearest(wrong: object, known: Iterable[str]) -> str:
    """Return `` (did you mean "…"?)``, or nothing."""
    found = difflib.get_close_matches(str(wrong), list(known), n=1)
    return f' (did you mean "{found[0]}"?)' if found else ""
