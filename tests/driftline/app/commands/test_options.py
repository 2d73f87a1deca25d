"""Options that several commands share."""

from datetime import UTC, datetime, timedelta

import pytest

from driftline.app.commands.options import moment
from driftline.app.commands.output import Table, print_table


def test_nothing_in_a_table_steers_the_terminal(capsys):
    print_table(
        Table(["id", "a\x1b[31mb"], [{"id": "c\x1b[2Jd", "a\x1b[31mb": 1}], "e\x1b]0;f\x07")
    )

    shown = capsys.readouterr().out

    assert not {"\x1b", "\x07"} & set(shown)
    assert all(one in shown for one in ("e\ufffd]0;f\ufffd", "a\ufffd[31mb", "c\ufffd[2Jd"))


@pytest.mark.parametrize("text", ["5m", "5m ago"])
def test_a_time_may_be_said_as_how_long_ago(text):
    end = datetime(2026, 11, 20, 12, tzinfo=UTC)

    assert moment(text, "--time", end=end) == end - timedelta(minutes=5)
