"""Every reason for which a record can be lost is told of, and has its mend."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from driftline.app.doctor import MENDS

ROOT = Path(__file__).parents[3]
# What counts a loss, and is given the reason as text.
COUNTING = {"count_drop", "gap_frame", "gap_instead", "_lose", "Gap"}


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value


def _reasons(node: ast.AST) -> Iterator[str]:
    """Return the reasons that a piece of code names."""
    if isinstance(node, ast.Call):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in COUNTING:
            yield from (one.value for one in node.args if _is_text(one))
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "reason" and _is_text(value):
                yield value.value
    elif isinstance(node, ast.Assign) and getattr(node.targets[0], "attr", "") == "_reason":
        yield from _texts([node.value])


def _is_text(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bool(re.fullmatch("[a-z_]+", node.value))
    )


def test_every_reason_stands_in_the_table_and_has_its_mend() -> None:
    files = [*ROOT.glob("driftline/capture/**/*.py")]
    counted = {
        reason
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        for reason in _reasons(node)
    }
    table = (ROOT / "docs/capture.md").read_text().partition("| reason | what happened |")[2]
    first_cells = [line.split("|")[1] for line in table.partition("\n\n")[0].splitlines()[2:]]
    told = set(re.findall(r"`(\w+)`", "".join(first_cells)))

    assert "power_loss" in counted
    assert counted == told
    assert counted == set(MENDS)
