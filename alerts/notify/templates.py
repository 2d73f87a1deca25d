"""Users' own bodies of notifications: a small part of Jinja that always terminates.

A template is rendered in the transaction of a change of state, so it must be as safe as our own
formats. Jinja's sandbox keeps templates away from Python, not from time and memory ("impossible to
cover from within the process", its authors say). So only constructs whose every step is bounded by
the data are allowed: output, if, for over the data, comparison, arithmetic on numbers, and filters
that cannot make much of little. No calls, no assignment, no literals of lists, no macros, no
joining of texts: repeated doubling of a text fills a memory. The steps together have a bound, of
rounds and of time, because of loops within loops.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChainableUndefined, TemplateError, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from driftline.alerts.errors import ChannelError

TEMPLATE_MAX = 10_000  # Characters.
OUTPUT_MAX = 20_000
_STEPS_MAX = 10_000
_TIME_MAX_S = 0.25  # Of this thread's computing: a machine that is busy cuts nothing off.
_TEXT_MAX = 100_000
_NESTED_MAX = 50
_NUMBER_MAX = 1e15

_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr,
    nodes.Getitem, nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub,
    nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Keyword,
)  # fmt: skip
_LOOP = frozenset({"index", "index0", "first", "last", "length", "revindex"})


class TemplateFailed(Exception):  # noqa: N818 - reads as what happened
    """A template did not come to a good end with this message."""


class _Environment(ImmutableSandboxedEnvironment):
    """Reaches into plain data only, and adds and multiplies numbers only."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 - data of all kinds
        """Return a field of the data; nothing of Python's objects."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: ANN401 - as above
        """Return a field or an element of the data."""
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=str(argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        """Compute with numbers; texts would multiply."""
        if not all(isinstance(side, int | float) for side in (left, right)):
            raise TemplateFailed(f"{operator} between what is no number")
        if any(abs(side) > 1e30 for side in (left, right)):
            raise TemplateFailed(f"{operator} with a number that is too large")
        return super().call_binop(context, operator, left, right)


class _Budget:
    """The limits of one rendering: rounds of loops, and time."""

    def __init__(self) -> None:
        self._rounds = 0
        self._end_s = time.thread_time() + _TIME_MAX_S

    def check_time(self) -> None:
        """Refuse to go on when the time is up."""
        if time.thread_time() > self._end_s:
            raise TemplateFailed(f"more than {_TIME_MAX_S:g} s of computing")

    def count_round(self) -> None:
        """Count a round of a loop."""
        self._rounds += 1
        if self._rounds > _STEPS_MAX:
            raise TemplateFailed(f"more than {_STEPS_MAX} rounds of its loops")
        self.check_time()


def _bounded(work: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that it refuses texts that are too long, and stops when the time is up."""

    @pass_context
    @functools.wraps(work)
    def run(context: Context, value: Any, *more: Any) -> Any:  # noqa: ANN401 - whatever a template holds
        context["_budget"].check_time()
        found = work(value, *more)
        if isinstance(found, str) and len(found) > _TEXT_MAX:
            raise TemplateFailed(f"a text of more than {_TEXT_MAX} characters")
        return found

    return run


def _joined(value: Any, between: object = "") -> str:  # noqa: ANN401 - as above
    parts, gap = [str(one) for one in value], str(between)
    # Before it is made: a text joined with itself grows with the square of its length.
    if sum(map(len, parts)) + len(gap) * len(parts) > _TEXT_MAX:
        raise TemplateFailed(f"a text of more than {_TEXT_MAX} characters")
    return gap.join(parts)


def _shortened(value: object, length: int = 255) -> str:
    text = str(value)
    return text if len(text) <= length else text[: max(int(length) - 1, 0)] + "…"


def _default(value: Any, other: Any = "") -> Any:  # noqa: ANN401 - as above
    return other if value is None or isinstance(value, ChainableUndefined) else value


def _rounded(value: float, digits: int = 0) -> float:
    return round(float(value), max(-15, min(int(digits), 15)))


def _json(value: object) -> str:
    plain = None if isinstance(value, ChainableUndefined) else value
    return json.dumps(plain, ensure_ascii=False)


@pass_context
def _tick(context: Context, value: object) -> object:
    """Count a step of the template; it stands in every loop."""
    context["_budget"].count_round()
    return value


_FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "d": _default,
    "first": lambda value: next(iter(value), ""),
    "float": float,
    "int": int,
    "join": _joined,
    "last": lambda value: (list(value) or [""])[-1],
    "length": len,
    "lower": lambda value: str(value).lower(),
    "round": _rounded,
    "title": lambda value: str(value).title(),
    "tojson": _json,
    "trim": lambda value: str(value).strip(),
    "truncate": _shortened,
    "upper": lambda value: str(value).upper(),
}


def check_template(where: str, text: str) -> None:
    """Refuse a template that cannot be read or holds what is not let through."""
    if len(text) > TEMPLATE_MAX:
        raise ChannelError(
            f"{where}: template of {len(text)} characters; expected {TEMPLATE_MAX} or fewer"
        )
    try:
        _compiled(text)
    except (TemplateError, TemplateFailed, RecursionError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f" in line {line}" if line is not None else ""
        words = str(error) if not isinstance(error, RecursionError) else "nested too deep"
        raise ChannelError(f"{where}: template{place}: {words}") from error


def render_template(text: str, event: Mapping[str, object]) -> str:
    """Write a message by a template."""
    parts, size = [], 0
    try:
        for part in _compiled(text).generate(dict(event) | {"_budget": _Budget()}):
            parts.append(part)
            size += len(part)
            if size > OUTPUT_MAX:
                raise TemplateFailed(f"more than {OUTPUT_MAX} characters")
    except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise TemplateFailed(f"{type(error).__name__}: {error}"[:200]) from error
    return "".join(parts)


@functools.lru_cache(maxsize=64)
def _compiled(text: str) -> Any:  # noqa: ANN401 - jinja2's Template, whose source may be a tree
    environment = _Environment(
        autoescape=False, undefined=ChainableUndefined, keep_trailing_newline=False, cache_size=0
    )
    environment.globals = {}
    environment.filters = {name: _bounded(work) for name, work in _FILTERS.items()}
    tree = environment.parse(text)
    for node in _walk(tree, 0):
        _check(node)
        if isinstance(node, nodes.For):
            step = nodes.Filter(nodes.Const(""), "_tick", [], [], None, None, lineno=node.lineno)
            node.body.insert(0, nodes.Output([step], lineno=node.lineno))
    environment.filters["_tick"] = _tick
    tree.set_environment(environment)
    try:
        return environment.from_string(tree)
    except SyntaxError as error:  # Python's own: it nests 20 loops, and no more.
        raise TemplateFailed("nested too deep") from error


def _walk(node: nodes.Node, depth: int) -> list[nodes.Node]:
    """Return all nodes of a tree; deep ones are refused before Python's own stack runs out."""
    if depth > _NESTED_MAX:
        raise TemplateFailed("nested too deep")
    return [
        node,
        *(one for child in node.iter_child_nodes() for one in _walk(child, depth + 1)),
    ]


def _check(node: nodes.Node) -> None:
    line = getattr(node, "lineno", None)
    place = f"line {line}: " if line else ""
    if not isinstance(node, _ALLOWED):
        raise TemplateFailed(
            f"{place}{type(node).__name__.lower()} is not let through; expected output, if, for, "
            "comparison, arithmetic and filters"
        )
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        raise TemplateFailed(
            f'{place}unknown filter "{node.name}"; expected one of {", ".join(_FILTERS)}'
        )
    if isinstance(node, nodes.For) and (node.recursive or node.test is not None):
        raise TemplateFailed(f"{place}a loop is recursive or has a condition; expected neither")
    if isinstance(node, nodes.Name) and node.name.startswith("_"):
        raise TemplateFailed(f'{place}name "{node.name}" begins with an underscore')
    value = node.value if isinstance(node, nodes.Const) else None
    if isinstance(value, int | float) and abs(value) > _NUMBER_MAX:
        raise TemplateFailed(f"{place}a number that is too large")
