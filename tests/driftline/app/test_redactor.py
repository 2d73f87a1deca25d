"""Rules of redaction from the settings, and the keys that they hash under."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from driftline.app.processes import redactor
from driftline.capture.redaction.rules import Rule
from driftline.settings.settings import SettingsError, describe, load
from tests.servers.commands import driftline

RULE = '[[capture.redact]]\nendpoint = "flights"\nfield = "/a"\naction = "drop"\n'
HASH = RULE.replace("drop", "hash")
KEY = "k1:0123456789abcdef"


def _file(folder: Path, text: str) -> Path:
    path = folder / "driftline.toml"
    path.write_text(text)
    return path


def test_rules_are_tables_in_the_file(tmp_path: Path) -> None:
    found = load(
        _file(tmp_path, RULE + RULE + 'side = "request"\noptional = true\n'), environment={}
    )

    rule = Rule("flights", "/a", "drop")
    assert found.capture.redact == [rule, replace(rule, side="request", optional=True)]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("", "set [capture] redact_keys_file"),
        ("k1", "not ID:KEY"),
        ("k 1:0123456789abcdef", "not ID:KEY"),
        ("k1:short-secret", 'key "k1" has 12 bytes; expected 16 or more'),
        (f"{KEY},{KEY}", '"k1" is given twice'),
    ],
)
def test_a_bad_key_is_refused_without_being_shown(tmp_path: Path, keys: str, sentence: str) -> None:
    environment = {"DRIFTLINE_CAPTURE__REDACT_KEYS": keys}

    with pytest.raises(SettingsError) as told:
        redactor(load(_file(tmp_path, HASH), environment=environment))

    assert sentence in str(told.value)
    assert "0123456789abcdef" not in str(told.value)
    assert "short-secret" not in str(told.value)


def test_keys_are_shown_nowhere(tmp_path: Path) -> None:
    file = _file(tmp_path, f'[capture]\nredact_keys = "{KEY}"\n{HASH}')
    found = load(file, environment={})
    built = redactor(found)
    shown = driftline("settings", "--json", "-c", str(file))

    assert shown.returncode == 0
    assert built is not None
    for text in (shown.stdout, repr(found), json.dumps(describe(found)), repr(vars(built))):
        assert "0123456789abcdef" not in text
    row = next(row for row in json.loads(shown.stdout) if row["key"] == "redact")
    assert row["value"] == [{"endpoint": "flights", "field": "/a", "action": "hash"}]


def test_a_hash_without_a_key_stops_the_start_in_one_sentence(tmp_path: Path) -> None:
    found = driftline("up", "-c", str(_file(tmp_path, HASH)))

    assert found.returncode == 2
    assert "no key to hash with" in found.stderr
    assert "Traceback" not in found.stderr
