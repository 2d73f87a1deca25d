"""Matchers of silences: a label, an operator and a value, as in Prometheus Alertmanager.

Regular expressions are RE2's, as there: they match the whole value, and no expression that an
operator writes can keep the evaluator busy for longer than its text is long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from driftline.alerts.errors import SilenceError

_FORM = re.compile(r"\s*([^=!~\s]+)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_NAME_MAX, _VALUE_MAX = 128, 1024
_OPERATORS = ("=", "!=", "=~", "!~")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is not there is an empty text.

    Parameters
    ----------
    name
        The label, such as ``endpoint``.
    operator
        ``=``, ``!=``, ``=~`` or ``!~``.
    value
        A text, or a regular expression for the last two.

    Raises
    ------
    SilenceError
        Naming the matcher and what was expected.
    """

    name: str
    operator: str
    value: str

    def __post_init__(self) -> None:
        if self.operator not in _OPERATORS:
            raise SilenceError(
                f'matcher operator "{self.operator}"; expected one of {", ".join(_OPERATORS)}'
            )
        if not 1 <= len(self.name) <= _NAME_MAX or len(self.value) > _VALUE_MAX:
            raise SilenceError(
                f"matcher {str(self)[:80]!r}; expected a label of at most {_NAME_MAX} characters "
                f"and a value of at most {_VALUE_MAX}"
            )
        if self.operator.endswith("~"):
            try:
                _fits(self.value, "")
            except pa.ArrowInvalid as error:
                reason = str(error).removeprefix("Invalid regular expression: ")
                raise SilenceError(
                    f"matcher {str(self)[:80]!r}: {reason}; expected a regular expression of RE2"
                ) from None

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.operator}"{escaped}"'

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil the condition."""
        value = labels.get(self.name, "")
        is_regex = self.operator.endswith("~")
        is_alike = _fits(self.value, value) if is_regex else value == self.value
        return is_alike is not self.operator.startswith("!")

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Read ``endpoint=flights`` or ``alarm=~"drift.*"``."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise SilenceError(
                f'matcher "{text[:80]}"; expected a label, one of {", ".join(_OPERATORS)} and a '
                "value, such as endpoint=flights"
            )
        name, sign, value = found.groups()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = _ESCAPED.sub(r"\1", value[1:-1])
        return cls(name, sign, value)


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil every condition."""
    return all(one.fits(labels) for one in matchers)


@lru_cache(maxsize=4096)
def _fits(pattern: str, value: str) -> bool:
    # Arrow brings RE2, which is linear in time whatever the expression.
    found = pc.match_substring_regex(pa.scalar(value), pattern=rf"\A(?:{pattern})\z")
    return bool(found.as_py())
