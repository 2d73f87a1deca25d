"""One-line conditions on a row, such as ``arrival >= departure``: parsed and checked, never run.

The text is parsed as a Python expression, of which only the parts listed here are accepted; each is
an Arrow function on whole columns. Names are columns, calls are those of `functions.FUNCTIONS`, and
there are no attributes or loops: a rule file can only compare.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.row_hashes import present
from driftline.errors import InputError
from driftline.monitors.rules import operators
from driftline.monitors.rules.functions import FUNCTIONS
from driftline.monitors.rules.operators import Value

# An expression that is longer is a program, and belongs into a check of its own.
MAX_CHARACTERS = 2000
MAX_PARTS = 400
# A column's name that is no Python name stands in backticks, as in pandas' query.
QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|`([^`]+)`""")
# Python's own escapes in a text; all others belong to a pattern, such as \d and \b.
ESCAPE = re.compile(r"\\([^\\'\"nrtxuU])|\\.", re.DOTALL)
ARITHMETIC: Mapping[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**",
}  # fmt: skip
COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition on one row."""

    text: str

    def __post_init__(self) -> None:
        _parse(self.text)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads, in the order in which they are named."""
        return _parse(self.text).columns

    def evaluate(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Return whether each row meets it; null where a missing value leaves that open, as in SQL.

        InputError when types do not go together, such as a number and a text.
        """
        found = self._value(lambda name: present(batch.column(name)))
        return operators.spread(found, batch.num_rows).cast(pa.bool_())

    def try_on(self, values: Mapping[str, Value]) -> None:
        """Find out whether the kinds of these columns go together, as `evaluate` would."""
        self._value(values.__getitem__)

    def _value(self, column: Callable[[str], Value]) -> Value:
        parsed = _parse(self.text)
        try:
            found = _Evaluation(parsed, column).value(parsed.tree)
        except operators.MismatchError as error:
            raise InputError(f'expression "{self.text}": {error}') from error
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f'expression "{self.text}": cannot be calculated ({error}); expected columns of '
                "numbers, texts or times that go together"
            ) from error
        if operators.kind_of(found) not in ("truth", "nothing"):
            raise InputError(
                f'expression "{self.text}" gives a {operators.kind_of(found)}; expected a '
                "comparison, which is true or false"
            )
        return found


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A checked tree, and what its quoted names stand for."""

    tree: ast.expr
    names: Mapping[str, str]
    columns: tuple[str, ...]


@lru_cache(maxsize=1024)
def _parse(text: str) -> _Parsed:
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"expression of {len(text):,} characters; expected {MAX_CHARACTERS:,} at most"
        )
    names: dict[str, str] = {}

    def unquote(match: re.Match[str]) -> str:
        if match[1] is not None:
            is_raw = text[: match.start()].endswith(("r", "R"))
            return match[1] if is_raw else ESCAPE.sub(_kept, match[1])
        stand_in = f"_quoted_{len(names)}_"
        names[stand_in] = match[2]
        return stand_in

    try:
        tree = ast.parse(QUOTED.sub(unquote, text).strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        why = "too deep"
        if isinstance(error, SyntaxError | ValueError):
            why = error.msg if isinstance(error, SyntaxError) else "half a character"
        raise InputError(
            f'expression "{text}": not readable ({why}); expected a condition such as '
            '"arrival >= departure"; names with other signs stand in backticks'
        ) from error
    _check(tree, text)
    called = {id(one.func) for one in ast.walk(tree) if isinstance(one, ast.Call)}
    columns = [
        names.get(node.id, node.id)
        for node in sorted(
            (one for one in ast.walk(tree) if isinstance(one, ast.Name) and id(one) not in called),
            key=lambda one: (one.lineno, one.col_offset),
        )
    ]
    if not columns:
        raise InputError(f'expression "{text}": names no column; expected one such as "age >= 0"')
    return _Parsed(tree, names, tuple(dict.fromkeys(columns)))


def _kept(escape: re.Match[str]) -> str:
    return escape[0] if escape[1] is None else f"\\{escape[0]}"


def _check(tree: ast.expr, text: str) -> None:
    """Refuse every part that is not on the list."""
    parts = list(ast.walk(tree))
    if len(parts) > MAX_PARTS:
        raise InputError(f'expression "{text[:60]} …": {len(parts)} parts; expected {MAX_PARTS}')
    for node in parts:
        if reason := _refusal(node):
            raise InputError(f'expression "{text}": {reason}')


def _refusal(node: ast.AST) -> str:
    """Return why a part cannot stand in an expression; empty when it can."""
    if isinstance(node, ast.Attribute):
        return f'".{node.attr}" is not supported; expected columns and {", ".join(FUNCTIONS)}'
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else "…"
        if name not in FUNCTIONS:
            return f'no function "{name}"; expected one of {", ".join(FUNCTIONS)}'
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            return f"{name}(…): expected plain arguments"
        return ""
    if isinstance(node, ast.Constant):
        is_plain = node.value is None or isinstance(node.value, bool | int | float | str)
        return "" if is_plain else f"constant {node.value!r} is not supported"
    if isinstance(node, ast.BinOp):
        known = (*ARITHMETIC, ast.BitAnd, ast.BitOr)
        return "" if isinstance(node.op, known) else "this operator is not supported"
    return "" if isinstance(node, TAKEN) else f"{_shown(node)} is not supported"


TAKEN = (
    ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Name, ast.List, ast.Tuple, ast.Set,
    ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


def _shown(node: ast.AST) -> str:
    return f"a part of the kind {type(node).__name__.lower()}"


class _Evaluation:
    """One expression on the columns of one batch."""

    def __init__(self, parsed: _Parsed, column: Callable[[str], Value]) -> None:
        self.parsed, self.column = parsed, column

    def value(self, node: ast.expr) -> Value:
        """Return a part's value: a column of values, or one for all rows."""
        if isinstance(node, ast.Constant):
            return operators.constant(node.value)  # type: ignore[arg-type] # Checked above.
        if isinstance(node, ast.Name):
            return self.column(self.parsed.names.get(node.id, node.id))
        if isinstance(node, ast.BoolOp):
            join = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
            return operators.joined(join, [self.value(value) for value in node.values])
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.IfExp):
            chosen = (self.value(one) for one in (node.test, node.body, node.orelse))
            return operators.either(*chosen)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return FUNCTIONS[node.func.id]([self.value(arg) for arg in node.args])
        raise operators.MismatchError("a list stands only behind in; expected x in (1, 2)")

    def _unary(self, node: ast.UnaryOp) -> Value:
        found = self.value(node.operand)
        if isinstance(node.op, ast.Not | ast.Invert):
            return pc.invert(operators.truth(found))
        return operators.signed(found, negative=isinstance(node.op, ast.USub))

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        # As pandas users write it; of numbers it is refused.
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            join = pc.and_kleene if isinstance(node.op, ast.BitAnd) else pc.or_kleene
            return operators.joined(join, [left, right])
        return operators.calculate(ARITHMETIC[type(node.op)], left, right)

    def _compare(self, node: ast.Compare) -> Value:
        found, left = [], node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            found.append(self._compared(left, op, right))
            left = right
        return operators.joined(pc.and_kleene, found)

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Value:
        if isinstance(op, ast.In | ast.NotIn):
            inside = self._inside(left, right)
            return inside if isinstance(op, ast.In) else pc.invert(inside)
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise operators.MismatchError("is stands only before None; expected == instead")
            is_missing = pc.is_null(self.value(left))
            return is_missing if isinstance(op, ast.Is) else pc.invert(is_missing)
        return operators.compare(COMPARISONS[type(op)], self.value(left), self.value(right))

    def _inside(self, left: ast.expr, right: ast.expr) -> Value:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise operators.MismatchError("in needs a list, such as x in (1, 2)")
        value = self.value(left)
        each = [operators.compare("==", value, self.value(elt)) for elt in right.elts]
        return operators.joined(pc.or_kleene, each) if each else pa.scalar(value=False)
