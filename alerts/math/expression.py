"""Metric math as text: parsed into steps of a stack machine, without eval and with every bound.

A Pratt parser writes the steps in the order of execution, so that neither checking nor evaluating
recurses: a sum of five hundred metrics is as flat as one of two.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NoReturn

from driftline.alerts.errors import ExpressionError
from driftline.alerts.math.forms import FORMS, LATER, WORDS, Kind, result_kind

# CloudWatch API, MetricDataQuery: Expression has 1 to 2048 characters.
LONGEST = 2048
_DEEPEST = 50

Deed = Literal["number", "text", "word", "id", "reference", "negate", "operate", "call", "array"]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/^<>(),\[\]])
    | (?P<end>$)
    | (?P<wrong>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ALIASES = {"&&": "AND", "||": "OR"}
# How tightly each binds; AWS documents no order, this is the one of arithmetic everywhere.
_POWERS = {
    "OR": 10, "AND": 20,
    "==": 30, "!=": 30, "<": 30, "<=": 30, ">": 30, ">=": 30,
    "+": 40, "-": 40, "*": 50, "/": 50, "^": 70,
}  # fmt: skip
_SIGNED = 60
# Functions that want the id of a metric or expression, not its values.
_BY_ID = ("PERIOD", "ANOMALY_DETECTION_BAND")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the stack machine."""

    deed: Deed
    value: str | float  # The number, text, id, operator or name of the function.
    at: int  # Where it stands in the text, from 1.
    count: int = 0  # How many values it takes off the stack.


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was read: correct in form, its ids not yet known."""

    text: str
    steps: tuple[Step, ...]

    @property
    def references(self) -> frozenset[str]:
        """Ids that it names."""
        found = (step.value for step in self.steps if step.deed in ("id", "reference"))
        return frozenset(str(value) for value in found)

    @property
    def calls(self) -> frozenset[str]:
        """Names of the functions that it uses."""
        return frozenset(str(step.value) for step in self.steps if step.deed == "call")

    def bands(self) -> Iterator[str]:
        """Return the ids for which it wants a band."""
        for step, following in zip(self.steps, self.steps[1:], strict=False):
            if step.deed == "reference" and not _is_period(following):
                yield str(step.value)

    def kind(self, kinds: Mapping[str, Kind], metrics: Collection[str]) -> Kind:
        """Return what the expression gives, without evaluating it."""
        stack: list[Kind] = []
        for step in self.steps:
            if step.deed in ("id", "reference"):
                stack.append(self._kind_of_id(step, kinds))
                continue
            taken = stack[len(stack) - step.count :]
            del stack[len(stack) - step.count :]
            try:
                stack.append(result_kind(step.deed, str(step.value), taken))
            except ExpressionError as error:
                self._refuse(step, str(error))
        for step, following in zip(self.steps, self.steps[1:], strict=False):
            if step.deed == "reference" and _is_period(following) and step.value not in metrics:
                self._refuse(step, f'PERIOD of "{step.value}"; expected a metric, no expression')
        return stack[0]

    def widths(self, of_ids: Mapping[str, int], metrics: int) -> tuple[int, int]:
        """Return how many series it gives at most, and how many are at hand at once on the way."""
        stack: list[int] = []
        most = 0
        for step in self.steps:
            taken = stack[len(stack) - step.count :]
            width = _width(step, taken, of_ids, metrics)
            # An array holds what is there; everything else is made anew beside what it takes.
            most = max(most, sum(stack) + (0 if step.deed == "array" else width))
            stack[len(stack) - step.count :] = [width]
        return stack[0], most

    def _kind_of_id(self, step: Step, kinds: Mapping[str, Kind]) -> Kind:
        kind = kinds.get(str(step.value))
        if kind is None:
            known = ", ".join(kinds) or "none is defined"
            self._refuse(step, f'no query has the id "{step.value}"; expected one of: {known}')
        if step.deed == "reference":
            if kind != "series":
                self._refuse(step, f'"{step.value}" gives {_named(kind)}; expected one time series')
            return "id"
        return kind

    def _refuse(self, step: Step, problem: str) -> NoReturn:
        raise ExpressionError(_sentence(self.text, step.at, problem))


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Read an expression."""
    if not text.strip():
        raise ExpressionError('the expression is empty; expected one such as "m1 / m2 * 100"')
    if len(text) > LONGEST:
        raise ExpressionError(
            f'expression "{text[:40]}…" has {len(text)} characters; expected {LONGEST} or fewer'
        )
    return _Parser(text).read()


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.next = 0
        self.depth = 0
        self.steps: list[Step] = []

    def read(self) -> Expression:
        """Read the whole text; what cannot be read is refused with its place."""
        self._value(0)
        kind, _, at = self._here()
        if kind != "end":
            self._refuse(at, f"{self._shown()} follows a whole expression; expected an operator")
        return Expression(self.text, tuple(self.steps))

    def _value(self, power: int) -> None:
        """Read a value, and all operators behind it that bind more tightly than this."""
        self.depth += 1
        if self.depth > _DEEPEST:
            self._refuse(self._here()[2], f"more than {_DEEPEST} levels of brackets and signs")
        self._first()
        while True:
            kind, sign, at = self._here()
            operator = _ALIASES.get(sign, sign)
            binding = _POWERS.get(operator, 0) if kind in ("sign", "name") else 0
            if binding <= power:
                break
            self.next += 1
            # To the right for powers: 2^3^2 is 2^9, as in arithmetic.
            self._value(binding - 1 if operator == "^" else binding)
            self._do("operate", operator, at, 2)
        self.depth -= 1

    def _first(self) -> None:
        kind, sign, at = self._take()
        if kind == "number":
            self._do("number", float(sign), at)
        elif kind == "text":
            self._do("text", sign[1:-1], at)
        elif kind == "name":
            self._name(sign, at)
        elif sign == "-":
            self._value(_SIGNED)
            self._do("negate", "-", at, 1)
        elif sign == "+":
            self._value(_SIGNED)
        elif sign == "(":
            self._value(0)
            self._expect(")", at)
        elif sign == "[":
            self._do("array", "[]", at, self._list("]", at))
        else:
            self.next -= 1
            self._refuse(at, f"{self._shown()}; expected a number, an id, a function or a bracket")

    def _name(self, name: str, at: int) -> None:
        if self._here()[1] == "(" and name not in _POWERS:
            self._call(name, at)
        elif name[0].islower():
            self._do("id", name, at)
        elif name in WORDS:
            self._do("word", name, at)
        else:
            self._refuse(at, f'"{name}"; {_hint(name)}')

    def _call(self, name: str, at: int) -> None:
        if name not in FORMS:
            self._refuse(at, f'function "{name}"; {_hint(name)}')
        self.next += 1
        if name in _BY_ID and self._here()[0] == "name" and self._here()[1][0].islower():
            _, reference, place = self._take()
            if self._here()[1] not in (",", ")"):
                self._refuse(place, f"{name} of an expression; {_mend_by_id(name)}")
            self._do("reference", reference, place)
            more = self._here()[1] == ","
            self.next += more
            count = 1 + (self._list(")", at) if more else self._close(at))
        elif name in _BY_ID:
            self._refuse(self._here()[2], f"{name} of {self._shown()}; {_mend_by_id(name)}")
        else:
            count = self._list(")", at)
        self._do("call", name, at, count)

    def _close(self, opened: int) -> int:
        self._expect(")", opened)
        return 0

    def _list(self, closing: str, opened: int) -> int:
        """Read values up to the closing bracket, and count them."""
        if self._here()[1] == closing:
            self.next += 1
            return 0
        count = 0
        while True:
            self._value(0)
            count += 1
            if self._here()[1] != ",":
                break
            self.next += 1
        self._expect(closing, opened)
        return count

    def _expect(self, closing: str, opened: int) -> None:
        if self._here()[1] != closing:
            self._refuse(
                self._here()[2],
                f'{self._shown()}; expected "{closing}" for what opens at character {opened}',
            )
        self.next += 1

    def _here(self) -> tuple[str, str, int]:
        return self.tokens[self.next]

    def _take(self) -> tuple[str, str, int]:
        found = self.tokens[self.next]
        self.next += 1
        return found

    def _shown(self) -> str:
        kind, sign, _ = self._here()
        return "the end" if kind == "end" else f'"{sign}"'

    def _do(self, deed: Deed, value: str | float, at: int, count: int = 0) -> None:
        self.steps.append(Step(deed, value, at, count))

    def _refuse(self, at: int, problem: str) -> NoReturn:
        raise ExpressionError(_sentence(self.text, at, problem))


def _tokens(text: str) -> Sequence[tuple[str, str, int]]:
    """Part a text into (kind, text, place from 1), with one of kind "end" at the end."""
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "wrong"
        sign, at = match.group(kind), match.start(kind) + 1
        if kind == "wrong":
            mend = 'compare by "=="' if sign == "=" else "expected an operator or a value"
            raise ExpressionError(_sentence(text, at, f"{sign!r}; {mend}"))
        found.append((kind, sign, at))
        if kind == "end":
            break
    return found


def _sentence(text: str, at: int, problem: str) -> str:
    shown = text if len(text) <= 80 else f"{text[:77]}…"
    return f'expression "{shown}": at character {at}: {problem}'


def _hint(name: str) -> str:
    if name in LATER:
        return f"{name} is not supported here; expected its metrics as queries of their own"
    return f"expected an id (it starts with a lower-case letter) or one of {', '.join(FORMS)}"


def _mend_by_id(name: str) -> str:
    if name == "PERIOD":
        return "expected the id of a metric, such as PERIOD(m1)"
    return "expected the id of a metric or of another expression, such as " + name + "(m1, 2)"


def _width(step: Step, taken: Sequence[int], of_ids: Mapping[str, int], metrics: int) -> int:
    """Return how many series a step gives at most."""
    if step.deed == "id":
        return of_ids[str(step.value)]
    if step.deed == "array":
        return sum(taken)
    if step.deed == "call":
        if step.value == "METRICS":
            return metrics
        if step.value == "ANOMALY_DETECTION_BAND":
            return 2
        if not any(form.endswith("array") for form in FORMS[str(step.value)]):
            return 1
    return max(taken, default=1)


def _is_period(step: Step) -> bool:
    return step.deed == "call" and step.value == "PERIOD"


def _named(kind: Kind) -> str:
    return "several time series" if kind == "array" else f"a {kind}"
