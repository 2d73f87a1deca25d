"""The rule of a composite alarm: conditions on other alarms' states, joined by AND, OR and NOT.

Grammar and limits are CloudWatch's (API reference, PutCompositeAlarm; User Guide, "Composite
alarms"); NOT binds tightest, then AND, then OR. A rule is compiled to postfix order once, so that
neither parsing nor evaluating ever recurses, however deep people nest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from driftline.alerts.alarms.alarm import State
from driftline.alerts.errors import AlarmError

# CloudWatch: AlarmRule's length; User Guide, "Composite alarms": children of one composite, and
# elements of a rule, which are child alarms, TRUE, FALSE and parentheses.
_RULE_MAX = 10_240
_ELEMENTS_MAX = 500
CHILDREN_MAX = 100

_TOKENS = re.compile(
    r"""
    (?P<blank>\s+)
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<mark>[(),])
    | (?P<word>[^\s(),"]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r'\\(["\\])')
_ARN = re.compile(r"arn:[^:]*:cloudwatch:[^:]*:[^:]*:alarm:(?P<name>.+)", re.DOTALL)
_COUNT = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,9})?)(?P<percent>%?)")

_STATES: Final[dict[str, State]] = {
    "ALARM": "ALARM",
    "OK": "OK",
    "INSUFFICIENT_DATA": "INSUFFICIENT_DATA",
}
_RANK = {"OR": 1, "AND": 2, "NOT": 3}
_WANTED = 'a condition such as ALARM("name")'


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: at least ``least`` of some alarms are, or are not, in a state.

    ``ALARM(x)`` is one of one; TRUE is none of none and FALSE one of none.
    """

    text: str
    names: tuple[str, ...]
    state: State = "ALARM"
    least: int = 1
    is_negated: bool = False

    def holds(self, states: Mapping[str, State]) -> bool:
        """Whether it is true; an alarm that is not there counts as without data."""
        if not self.names:
            return self.least == 0
        return self.count(states) >= self.least

    def count(self, states: Mapping[str, State]) -> int:
        """Return how many of its alarms are as it wants them."""
        return sum(
            (states.get(name, "INSUFFICIENT_DATA") == self.state) != self.is_negated
            for name in self.names
        )


_Step = Condition | str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read: its text, and what it means in postfix order."""

    text: str
    steps: tuple[_Step, ...]  # Conditions, and the words AND, OR, NOT behind what they join.

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Its conditions, in the order of the text."""
        return tuple(step for step in self.steps if isinstance(step, Condition))

    @property
    def names(self) -> tuple[str, ...]:
        """The alarms it looks at, each once, in the order of the text."""
        return tuple(dict.fromkeys(name for one in self.conditions for name in one.names))

    def holds(self, states: Mapping[str, State]) -> bool:
        """Whether the rule is true while alarms are in these states."""
        stack: list[bool] = []
        for step in self.steps:
            if isinstance(step, Condition):
                stack.append(step.holds(states))
            elif step == "NOT":
                stack.append(not stack.pop())
            else:
                right, left = stack.pop(), stack.pop()
                stack.append((left and right) if step == "AND" else (left or right))
        return stack.pop()

    def state(self, states: Mapping[str, State]) -> State:
        """Return the state of a composite alarm with this rule: ALARM while it is true, else OK."""
        return "ALARM" if self.holds(states) else "OK"

    @classmethod
    def parse(cls, text: object) -> Rule:
        """Read a rule."""
        if not isinstance(text, str) or not text or text != text.strip():
            # CloudWatch's own sentence.
            raise AlarmError("AlarmRule must not contain leading or trailing whitespace or be null")
        if len(text) > _RULE_MAX:
            raise AlarmError(f"AlarmRule has {len(text)} characters; expected {_RULE_MAX} or fewer")
        rule = cls(text, tuple(_Parser(text).steps()))
        if len(rule.names) > CHILDREN_MAX:
            raise AlarmError(
                f"AlarmRule names {len(rule.names)} alarms; expected {CHILDREN_MAX} or fewer"
            )
        return rule


def alarm_name(reference: str) -> str:
    """Return the name of an alarm from its name or its ARN, whatever account that is of."""
    found = _ARN.fullmatch(reference)
    return found["name"] if found else reference


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    kind: str

    @property
    def word(self) -> str:
        """Its keyword in upper case; never a quoted name."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def shown(self) -> str:
        """Return where the rule has it, as the beginning of an error."""
        if self.kind == "end":
            return "AlarmRule ends"
        return f"AlarmRule has {self.text[:60]} at character {self.start + 1}"


class _Parser:
    """Puts a rule's tokens into postfix order (Dijkstra's shunting yard)."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._elements = 0
        self._out: list[_Step] = []
        self._waiting: list[_Token] = []

    def steps(self) -> list[_Step]:
        """Return the rule in postfix order; what cannot be read is an AlarmError."""
        wants_condition = True
        while (token := self._take()).kind != "end":
            read = self._operand if wants_condition else self._operator
            wants_condition = read(token)
        if wants_condition:
            raise _unexpected(token, _WANTED)
        while self._waiting:
            open_one = self._waiting.pop()
            if open_one.text == "(":
                raise AlarmError(f'AlarmRule: no ")" closes {_place(open_one)}; expected one')
            self._out.append(open_one.word)
        return self._out

    def _operand(self, token: _Token) -> bool:
        """Read what may stand where a condition is wanted; say whether one is still wanted."""
        if token.text == "(" or token.word == "NOT":
            self._count(1 if token.text == "(" else 0)
            self._waiting.append(token)
            return True
        self._out.append(self._condition(token))
        return False

    def _operator(self, token: _Token) -> bool:
        """Read what may stand behind a condition; say whether the next one is wanted."""
        if token.text == ")":
            self._count(1)
            self._pop_while(lambda one: one.text != "(")
            if not self._waiting:
                raise AlarmError(f'AlarmRule: no "(" opens {_place(token)}; expected one')
            self._waiting.pop()
            return False
        if token.word not in ("AND", "OR"):
            raise _unexpected(token, "AND, OR or the end")
        rank = _RANK[token.word]
        self._pop_while(lambda one: one.text != "(" and _RANK[one.word] >= rank)
        self._waiting.append(token)
        return True

    def _pop_while(self, goes_first: Callable[[_Token], bool]) -> None:
        while self._waiting and goes_first(self._waiting[-1]):
            self._out.append(self._waiting.pop().word)

    def _condition(self, token: _Token) -> Condition:
        if token.word in ("TRUE", "FALSE"):
            self._count(1)
            return Condition(token.word, (), least=0 if token.word == "TRUE" else 1)
        if token.word == "AT_LEAST":
            return self._at_least()
        state = _STATES.get(token.word)
        if state is None:
            raise _unexpected(token, _WANTED)
        self._mark("(")
        name = self._reference()
        self._mark(")")
        return Condition(f"{state}({_quoted(name)})", (name,), state)

    def _at_least(self) -> Condition:
        self._mark("(")
        asked = self._take()
        found = _COUNT.fullmatch(_unquoted(asked))
        if found is None:
            raise _unexpected(asked, "a number of alarms such as 2, or a share such as 50%")
        self._mark(",")
        word = self._take()
        is_negated = word.word == "NOT"
        if is_negated:
            word = self._take()
        state = _STATES.get(word.word)
        if state is None:
            raise _unexpected(word, "ALARM, OK or INSUFFICIENT_DATA, perhaps with NOT before it")
        self._mark(",")
        names = self._references()
        self._mark(")")
        least = _least(found, len(names), asked)
        shown = ", ".join(_quoted(name) for name in names)
        text = f"AT_LEAST({found[0]}, {'NOT ' if is_negated else ''}{state}, ({shown}))"
        return Condition(text, names, state, least, is_negated)

    def _references(self) -> tuple[str, ...]:
        """Read names in brackets; one that stands there twice counts once."""
        self._mark("(")
        names = [self._reference()]
        while (token := self._take()).text == ",":
            names.append(self._reference())
        if token.text != ")":
            raise _unexpected(token, '"," or ")"')
        return tuple(dict.fromkeys(names))

    def _reference(self) -> str:
        token = self._take()
        if token.kind not in ("word", "quoted") or not _unquoted(token).strip():
            raise _unexpected(token, "the name or ARN of an alarm")
        self._count(1)
        return alarm_name(_unquoted(token))

    def _mark(self, mark: str) -> None:
        token = self._take()
        if token.text != mark or token.kind != "mark":
            raise _unexpected(token, f'"{mark}"')

    def _take(self) -> _Token:
        token = self._tokens[min(self._at, len(self._tokens) - 1)]
        self._at += 1
        return token

    def _count(self, elements: int) -> None:
        self._elements += elements
        if self._elements > _ELEMENTS_MAX:
            raise AlarmError(
                f"AlarmRule has more than {_ELEMENTS_MAX} elements (alarms, TRUE, FALSE, "
                "parentheses); expected fewer, for example by a composite alarm in between"
            )


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:  # Only a quote can fail to match: nothing closes it.
            raise AlarmError(
                f"AlarmRule has a quote at character {at + 1} that nothing closes; expected "
                'another " behind the name'
            )
        assert found.lastgroup is not None
        if found.lastgroup != "blank":
            yield _Token(found[0], at, found.lastgroup)
        at = found.end()
    yield _Token("", at, "end")


def _least(found: re.Match[str], count: int, asked: _Token) -> int:
    """Return how many of the alarms it takes: of a share the smallest number that reaches it."""
    number = Fraction(found["number"])
    least = math.ceil(number * count / 100) if found["percent"] else number
    is_share = bool(found["percent"])
    if number <= 0 or least > count or least.denominator != 1:
        most = "100%" if is_share else f"{count}, the number of alarms that it names"
        raise AlarmError(
            f"AlarmRule: {_place(asked)} in AT_LEAST; expected "
            f"{'more than 0%' if is_share else 'a whole number from 1'} to {most}"
        )
    return int(least)


def _unquoted(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    return _ESCAPED.sub(r"\1", token.text[1:-1])


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _place(token: _Token) -> str:
    return f"{token.text[:60]} at character {token.start + 1}"


def _unexpected(token: _Token, wanted: str) -> AlarmError:
    return AlarmError(f"{token.shown}; expected {wanted}")
