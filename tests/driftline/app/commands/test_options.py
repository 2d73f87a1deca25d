"""Options that several commands share."""

import io
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

from driftline.app.commands import options
from driftline.app.commands.options import moment
from driftline.app.commands.table import print_table
from driftline.roles import Facet, Roles


@pytest.fixture
def command():
    """A command with roles, and what it was called with."""
    seen: list[tuple[str, Roles]] = []
    app = typer.Typer()

    @app.command()
    @options.with_roles
    def go(data: str, *, roles: Roles) -> None:
        """Go."""
        seen.append((data, roles))

    return app, seen


def test_roles_are_options_and_come_as_one_value(command):
    app, seen = command
    line = "x.csv --label y --probability p --probability q --exclude a --positive 1.0"

    done = CliRunner().invoke(app, [*line.split(), "--facet", "sex=F", "--threshold", "0.3"])

    assert done.exit_code == 0, done.output
    assert seen == [
        (
            "x.csv",
            Roles(
                label="y",
                probability=("p", "q"),
                exclude=("a",),
                positive="1.0",
                threshold=0.3,
                facets=(Facet("sex", ("F",)),),
            ),
        )
    ]


def test_a_command_keeps_its_own_help(command):
    app, _ = command

    text = CliRunner().invoke(app, ["--help"]).output

    assert "Go." in text
    assert all(f"--{one}" in text for one in ("label", "id", "facet", "group", "threshold"))


def test_ids_stand_whole_in_eighty_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    message, incident = "msg_" + "a" * 26, "inc_" + "b" * 32
    rest = {"alarm_name": "flights drift", "state": "INSUFFICIENT_DATA", "channel": "pager"}
    rest |= {"status": "delivered", "attempts": 3, "why": "the channel said 500 " * 5}
    print_table(["id", *rest], [{"id": message, **rest}])
    rest = {"status": "open", "endpoint": "flights", "severity": "page", "alarms": 3}
    rest |= {"cause": "drift of distance " * 5}
    print_table(["id", *rest], [{"id": incident, **rest}])

    lines = capsys.readouterr().out.splitlines()

    assert {message, incident} <= {word for line in lines for word in line.split()}
    assert max(map(len, lines)) <= 80


def test_a_table_breaks_no_word_and_is_blocks_of_lines_where_its_words_do_not_fit(
    monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", "80")
    audit = {
        "at": "2026-01-01T00:00:00", "who": "anybody on this machine",
        "what": "POST /api/v1/monitors/orders-stuck/cancel and so on", "status": "409",
    }  # fmt: skip
    execution = {
        "window": "2026-01-01T00:00:00+00:00", "status": "CompletedWithViolations", "rows": 300,
        "reason": "km: 99% of rows 999 or above, looks like 1,000 times the unit " * 2,
        "execution": "dd55706c-7a33-58fd-b10e-dfff6f4957b3",
    }  # fmt: skip
    shown = []

    for row in (audit, execution):
        print_table([*row], [row], title="a title that is longer than the table")
        shown.append(capsys.readouterr().out.splitlines())

    for row, lines in zip((audit, execution), shown, strict=True):
        assert lines[0] == "a title that is longer than the table"
        assert max(map(len, lines)) <= 80
        words = {word for text in row.values() for word in str(text).split()}
        assert words <= {word for line in lines for word in line.split()}
    assert shown[0][1].split() == [*audit]
    assert shown[1][1] == "window     2026-01-01T00:00:00+00:00"
    assert shown[1][-1] == f"execution  {execution['execution']}"


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_word_of_any_length_stands_whole(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    path = "/api/v1/monitors/orders-data-quality/executions/a-name-that-goes-on/report"
    row = {"at": "2026-01-01T00:00:00", "who": "anybody", "what": f"GET {path}", "status": 200}

    print_table([*row], [row])

    assert path in capsys.readouterr().out.split()


def test_a_table_that_nobody_reads_is_left_to_the_group_of_commands(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())

    with pytest.raises(BrokenPipeError):
        print_table(["km"], [{"km": 1}])


def test_a_quantity_loses_no_digit_before_its_point(capsys):
    print_table(["km", "score"], [{"km": 10_430.0, "score": 0.123456}])

    assert capsys.readouterr().out.splitlines()[1].split() == ["10430", "0.1235"]


def test_a_table_that_is_not_for_a_terminal_is_not_cut_to_eighty_columns(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    row = {"window": "2026-11-16T00:00", "until": "2026-11-20T00:00", "reason": "a sale " * 20}
    columns = ["window", "until", *(f"column_{number}" for number in range(12)), "reason"]

    print_table(columns, [row])

    (_, line) = capsys.readouterr().out.splitlines()
    assert line.split()[:2] == [row["window"], row["until"]]
    assert line.rstrip().endswith(row["reason"].rstrip())


def test_nothing_in_a_table_steers_the_terminal(capsys):
    print_table(["id", "a\x1b[31mb"], [{"id": "c\x1b[2Jd", "a\x1b[31mb": 1}], title="e\x1b]0;f\x07")

    shown = capsys.readouterr().out

    assert not {"\x1b", "\x07"} & set(shown)
    assert all(one in shown for one in ("e\ufffd]0;f\ufffd", "a\ufffd[31mb", "c\ufffd[2Jd"))


@pytest.mark.parametrize("text", ["5m", "5m ago"])
def test_a_time_may_be_said_as_how_long_ago(text):
    end = datetime(2026, 11, 20, 12, tzinfo=UTC)

    assert moment(text, "--time", end=end) == end - timedelta(minutes=5)
