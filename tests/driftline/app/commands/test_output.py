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


def test_ids_and_states_stay_whole_and_sentences_wrap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    whole = {
        "status": "CompletedWithViolations",
        "execution": "6c2b4f22-6f0d-5857-b262-4905ef24c5eb",
    }

    print_table(Table(["headline", *whole], [{"headline": "two words " * 9, **whole}]))

    told = capsys.readouterr().out
    assert {*whole.values()} <= {*told.split()}
    assert len(told.splitlines()) > 2
    assert max(map(len, told.splitlines())) <= 100


def test_rows_whose_words_do_not_fit_are_printed_a_field_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    rows = [{"state": "CompletedWithViolations", "count": count} for count in (1, 2)]

    print_table(Table(["state", "count"], rows))

    one = "state: CompletedWithViolations\ncount: "
    assert capsys.readouterr().out == f"{one}1\n\n{one}2\n"
