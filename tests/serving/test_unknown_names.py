"""Names that nothing has, asked for by the command line: one sentence, exit code 2."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.errors import NotFoundError
from tests.serving.alarm_yard import client, server, yard

__all__ = ["client", "server", "yard"]  # The fixtures.

NO_ALARM = 'alarm "bot" does not exist; expected the name of one, such as "both"'
NO_CHANNEL = 'channel "pagr" does not exist; expected the name of one, such as "pager"'


def ask(server, words: list[str]) -> tuple[int, str]:
    done = CliRunner().invoke(build(words[0]), [*words, "--server", server.url])
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("alarm get bot", NO_ALARM),
        ("alarm explain bot", NO_ALARM),
        ("alarm history bot", NO_ALARM),
        ("alarm set-state bot OK", NO_ALARM),
        ("alarm disable bot", NO_ALARM),
        ("alarm tag bot a=b", NO_ALARM),
        ("alarm delete bot", NO_ALARM),
        ("alarm list --parents-of bot", NO_ALARM),
        ("alarm list --children-of bot", NO_ALARM),
        ("alarm list --channel pagr", NO_CHANNEL),
        ("delivery list --alarm bot", NO_ALARM),
        ("delivery list --channel pagr", NO_CHANNEL),
        ("delivery get msg_none", 'delivery "msg_none" does not exist; expected an id; driftline'),
        ("channel log pagr", NO_CHANNEL),
        ("channel log pager --message msg_none", 'delivery "msg_none" does not exist'),
        ("channel test pagr", NO_CHANNEL),
        ("channel enable pagr", NO_CHANNEL),
        (
            "silence expire none",
            'silence "none" does not exist; expected the name of one, and there',
        ),
    ],
)
def test_a_name_that_nothing_has_is_one_sentence(server, yard, words, said):
    with pytest.raises(NotFoundError) as refused:  # Exit code 2, by driftline.app.cli.main.
        ask(server, words.split())

    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_what_was_deleted_has_a_history_all_the_same(server, yard):
    yard.delete_alarm("top")

    code, text = ask(server, ["alarm", "history", "top"])

    assert code == 0
    assert 'Alarm "top" deleted' in text


def test_an_alarm_without_messages_has_none(server, yard):
    assert ask(server, ["delivery", "list", "--alarm", "c", "--json"]) == (0, "[]\n")
    assert ask(server, ["alarm", "list", "--parents-of", "top", "--json"]) == (0, "[]\n")
