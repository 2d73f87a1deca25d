"""Commands refuse what cannot work in one plain sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.data import ORDERS, stream
from tests.servers.commands import driftline

TAB = "kind: Channel\nname: ops\nspec:\n\ttype: webhook\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stream(ORDERS, rows=1_000, seed=1).to_csv(tmp_path / "orders.csv", index=False)
    done = driftline("baseline", "orders.csv", "-o", "base", "--segment", "city", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.parametrize(
    "words", [("baseline", "orders.csv"), ("check", "orders.csv", "--baseline", "base")]
)
def test_an_output_that_cannot_be_written_is_named_with_the_reason(
    folder: Path, words: tuple[str, ...]
) -> None:
    (folder / "file").write_text("in the way")

    found = driftline(*words, "-o", "file/result", cwd=folder)

    assert found.returncode == 2
    assert "Not a directory" in found.stderr
    assert "rrno" not in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_misspelt_segment_is_answered_with_the_nearest_name(folder: Path) -> None:
    words = ("check", "orders.csv", "--baseline", "base", "--segment", "ctiy")

    found = driftline(*words, cwd=folder)

    assert found.returncode == 2
    assert 'the nearest known one is "city"' in found.stderr


def test_junit_says_how_many_rows_a_column_needs(folder: Path) -> None:
    lines = (folder / "orders.csv").read_text().splitlines()
    (folder / "few.csv").write_text("\n".join(lines[:8]) + "\n")

    found = driftline("check", "few.csv", "--baseline", "base", "--format", "junit", cwd=folder)

    assert found.returncode == 3
    assert found.stdout.count('<skipped message="insufficient_data: at least ') >= 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Channel\nname: ops: all\nspec: {}\n", ("line 2, column 10", "in quotes")),
        ("kind: Channel\nname: ops\n  spec: {}\n", ("line 3, column 7", "indentation")),
        ("- kind: Channel\nname: ops\n", ("line 2, column 1", "indentation")),
        (TAB, ("line 4, column 1", "expected spaces")),
        ('kind: Channel\nname: "ops\nspec: {}\n', ("line 2, column 7", "not closed")),
        ("kind: Channel\nname: [ops\nspec: {}\n", ("line 2, column 7", "bracket")),
        ("kind: !Channel\nname: ops\n", ("line 1, column 7", "plain values")),
        ("kind: Channel\nname: ops\0\n", ("line 2, column 10", "special characters")),
        ('{"kind": "Channel",, "name": "ops"}', ("line 1, column 20", "expected a value")),
    ],
)
def test_a_resource_file_that_is_no_yaml_is_told_by_line_column_and_mend(
    tmp_path: Path, text: str, words: tuple[str, str]
) -> None:
    (tmp_path / "ops.yaml").write_text(text)

    found = driftline("apply", "-f", "ops.yaml", cwd=tmp_path)

    assert found.returncode == 2
    assert found.stderr.startswith("driftline: ops.yaml: ")
    assert all(word in found.stderr for word in words), found.stderr
    assert "while" not in found.stderr
    assert found.stderr.count("\n") == 1
