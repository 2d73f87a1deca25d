"""Rules of redaction from the settings, and the keys that they hash under."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.app.processes import redactor
from driftline.errors import InputError
from tests.servers.settings import settings_in

HASH = '[[capture.redact]]\nendpoint = "flights"\nfield = "/a"\naction = "hash"\n'
KEY = "k1:0123456789abcdef"


@pytest.mark.parametrize("keys", ["", "k1", "k 1:0123456789abcdef", "k1:short", f"{KEY},{KEY}"])
def test_a_bad_or_missing_key_is_refused_without_being_shown(tmp_path: Path, keys: str) -> None:
    with pytest.raises(InputError) as told:
        redactor(settings_in(tmp_path, HASH, DRIFTLINE_CAPTURE__REDACT_KEYS=keys))

    assert "0123456789abcdef" not in str(told.value)
    assert "short" not in str(told.value)


@pytest.mark.parametrize("line", ["action = 'burn'", "sides = 'both'", "keep = 'x'", "field = 1"])
def test_a_rule_of_no_meaning_is_refused(tmp_path: Path, line: str) -> None:
    rule = {"endpoint": "'*'", "field": "'/a'", "action": "'drop'"}
    rule |= dict([line.split(" = ")])
    text = "\n".join(f"{name} = {value}" for name, value in rule.items())

    with pytest.raises(InputError, match=r"driftline\.toml: \[capture\] redact"):
        settings_in(tmp_path, f"[[capture.redact]]\n{text}\n")
