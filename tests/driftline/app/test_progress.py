"""How far some work has come: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from driftline.app import progress as module
from driftline.app.progress import progress


def test_a_terminal_gets_a_bar_that_says_how_much_of_what() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, legacy_windows=False)

    with progress("check", console=console) as advance:
        advance(200_000, 1_200_000)

    assert "200,000 of 1,200,000 rows" in file.getvalue()
    assert "check" in file.getvalue()


def test_a_log_gets_lines_without_signs_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    file = io.StringIO()

    with progress("baseline", unit="records", console=Console(file=file, width=80)) as advance:
        advance(1_000, None)
        advance(2_000, 4_000)

    assert file.getvalue() == "baseline: 1,000 records\nbaseline: 2,000 of 4,000 records\n"


def test_the_last_line_is_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()

    with progress("check", console=Console(file=file, width=80)) as advance:
        monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
        advance(1_171_203, None)
        monkeypatch.setattr(module, "LINE_EVERY_S", 1e9)
        advance(1_900_000, None)
        advance(2_000_000, None)

    assert file.getvalue() == "check: 1,171,203 rows\ncheck: 2,000,000 rows\n"


def test_a_short_work_says_nothing() -> None:
    file = io.StringIO()

    with progress("check", console=Console(file=file, width=80)) as advance:
        advance(1_000, 1_000)

    assert file.getvalue() == ""
