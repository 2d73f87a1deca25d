"""What people read: tables as wide as a terminal, and what changed."""

from __future__ import annotations

from inspect import signature
from types import SimpleNamespace

import pytest

from driftline.app.client.operation_table import operations
from driftline.app.commands.access import audit
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


def test_the_audit_log_shows_what_changed_and_not_what_did_not() -> None:
    old = {"spec": {"threshold": 1, "period": 60}}
    entry = {
        "at": "2026-01-01T00:00:00Z", "subject": "ana", "action": "update", "target": "Alarm/late",
        "status": None, "before": old, "after": {"spec": {**old["spec"], "threshold": 2}},
    }  # fmt: skip
    client = SimpleNamespace(ask=lambda *_: [entry])

    (table,) = audit(**dict.fromkeys(signature(audit).parameters) | {"client": client}).shown

    assert [*table.rows] == [
        {"at": "2026-01-01 00:00:00", "who": "ana",
         "what": "update Alarm/late\n  spec.threshold: 1 -> 2", "status": None},
    ]  # fmt: skip
