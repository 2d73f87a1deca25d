"""What a command leaves behind is read as if an attacker had written it; no process is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.errors import InputError
from driftline.monitors.kinds.command.contract import (
    METRICS,
    OUTPUT,
    read_documents,
    read_message,
    read_metrics,
    read_violations,
)
from driftline.monitors.run.commands import command_in
from tests.monitors.conftest import START

HEAD = """
import json, os, pathlib, signal, subprocess, sys, time
env, root = os.environ, pathlib.Path(os.environ.get("opt_ml", "."))
output = root / "processing/output"
def violations(*found):
    (output / "constraint_violations.json").write_text(json.dumps({"violations": found}))
def metric(*lines):
    file = root / "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
    file.write_text("\\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
def message(text):
    (root / "output/message").write_text(text)
STUCK = {"feature_name": "x", "constraint_check_type": "stuck_check", "description": "it is stuck"}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "place"
    for name in (OUTPUT, Path(METRICS).parent):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("(output / 'constraint_violations.json').write_text('{\"violations\": [')",
                     "constraint_violations.json: not JSON (Expecting value", id="malformed"),
        pytest.param("(output / 'statistics.json').write_text('[' * 100_000)",
                     "statistics.json: not JSON (nested too deeply", id="far too deep"),
        pytest.param("(output / 'constraints.json').write_text('{\"a\":' * 150 + '1' + '}' * 150)",
                     "constraints.json: nested deeper than 100 levels", id="too deep"),
        pytest.param("(output / 'statistics.json').write_text('7')",
                     "statistics.json: expected a JSON object", id="no object"),
        pytest.param("violations({'feature_name': 'x'})", "violation 1: expected the texts "
                     "feature_name, constraint_check_type, description", id="half a violation"),
        pytest.param("violations(*[STUCK] * 1001)", 'a list "violations" of at most 1,000',
                     id="too many violations"),
        pytest.param("metric('{\"MetricName\": \"a\", \"Value\": NaN}')",
                     "cloudwatch_metrics.jsonl: The value NaN for parameter", id="NaN"),
        pytest.param("metric('{\"MetricName\": \"a\", \"Value\": 1e999}')", "is invalid",
                     id="1e999"),
        pytest.param("metric({'MetricName': 'a', 'Value': 1}, 'x')",
                     "cloudwatch_metrics.jsonl: line 2: not JSON", id="no line"),
        pytest.param("metric(*[{'MetricName': 'a', 'Value': 1}] * 2)",
                     "a metric stands there twice with the same dimensions", id="twice"),
        pytest.param("metric(*[{'MetricName': f'a{one}', 'Value': 1} for one in range(1001)])",
                     "must not have a size greater than 1000", id="too many metrics"),
        pytest.param("os.symlink('/etc/shadow', output / 'statistics.json')",
                     "statistics.json: a link, or closed to reading; expected a plain file",
                     id="link"),
        pytest.param("os.rmdir(output); os.symlink('/etc', output); "
                     "os.symlink('shadow', root / 'output/message')",
                     "message: a link, or closed to reading", id="link of a message"),
        pytest.param("os.rename(output, root / 'a'); os.symlink(root / 'a', output); "
                     "(root / 'a/statistics.json').write_text('{}')",
                     "statistics.json: its folder is a link", id="link of a folder"),
        pytest.param("(root / 'a').touch(); os.link(root / 'a', output / 'statistics.json')",
                     "statistics.json: a folder, device or link", id="hard link"),
        pytest.param("os.mkfifo(output / 'statistics.json')",
                     "statistics.json: a folder, device or link", id="pipe"),
        pytest.param("(output / 'statistics.json').write_bytes(bytes(17 << 20))",
                     "statistics.json: 17,825,792 bytes; expected at most 16,777,216", id="large"),
    ],
)  # fmt: skip
def test_a_result_that_cannot_be_taken_is_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setenv("opt_ml", str(place))
    exec(HEAD + text, {})

    with pytest.raises(InputError) as found:
        read_message(place)
        read_metrics(place, "a", START)
        read_violations(place)
        read_documents(place)

    assert reason in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("allowed", "name", "reason"),
    [
        (False, "own.py", "this installation runs none; expected a folder of programs in its "
         "settings, [scheduler] commands_dir"),
        (True, "../own.py", "not in the folder of programs; expected one of own.py"),
        (True, "/bin/sh", "not in the folder of programs; expected one of own.py"),
        (True, "loose.py", "not in the folder of programs; expected one of own.py"),
        (True, "data.json", "not in the folder of programs; expected one of own.py"),
    ],
)  # fmt: skip
def test_a_program_from_elsewhere_is_never_run(
    tmp_path: Path, allowed: bool, name: str, reason: str
) -> None:
    for file in ("own.py", "loose.py", "data.json"):
        (tmp_path / file).touch(mode=0o600)
    (tmp_path / "loose.py").chmod(0o666)

    with pytest.raises(InputError) as found:
        command_in(str(tmp_path) if allowed else "", (name, "-c", "id"))

    assert str(found.value) == f'command "{name}": {reason}'


def test_a_folder_that_everybody_may_write_to_allows_no_program(tmp_path: Path) -> None:
    (tmp_path / "own.py").touch(mode=0o600)
    tmp_path.chmod(0o1777)

    with pytest.raises(InputError) as found:
        command_in(str(tmp_path), ("own.py",))

    assert str(found.value) == (
        f'command "own.py": everybody on this machine may write to {tmp_path}; expected a folder '
        f"of its owner's: chmod o-w {tmp_path}"
    )
    tmp_path.chmod(0o755)
    command_in(str(tmp_path), ("own.py",))
