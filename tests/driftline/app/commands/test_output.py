"""What people read: tables as wide as a terminal, and what changed."""

from __future__ import annotations

import pytest

from driftline.app.client.operation_table import operations
from driftline.app.commands.output import Table, print_table


@pytest.mark.parametrize("columns", [row["columns"].split() for row in operations()] + [[]])
def test_no_head_of_a_table_is_broken_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    heads = [one.partition("=")[0] for one in columns]

    print_table(Table(heads, [dict.fromkeys(heads, "a long value " * 3)]))

    told = capsys.readouterr()
    assert (told.out.splitlines()[0].split() if heads else told.err.split()) == (
        heads or ["nothing", "found"]
    )
