"""Resource files: what they hold is told as it stands there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from driftline.app.commands.resource_files import read_resources
from driftline.errors import InputError

DOCS = Path(__file__).parents[2] / "docs"


def test_times_without_quotes_are_told_as_text(tmp_path: Path) -> None:
    file = tmp_path / "silence.yaml"
    file.write_text(
        "kind: Silence\nname: roll-out\n"
        "spec: {ends_at: 2026-12-01T00:00:00Z, start_date: 2026-12-01, alarm_names: [a]}\n",
        encoding="utf-8",
    )
    (found,) = read_resources(file)
    assert found["spec"]["ends_at"] == "2026-12-01T00:00:00Z"
    assert found["spec"]["start_date"] == "2026-12-01"


def test_a_schedule_in_braces_without_quotes_is_named_with_its_mend(tmp_path: Path) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(
        "kind: Monitor\nname: daily\nspec: {schedule: cron(0 0 ? * MON,TUE *), kind: bias}\n",
        encoding="utf-8",
    )

    with pytest.raises(InputError) as raised:
        read_resources(file)

    needed = '"cron(0 0 ? * MON,TUE *)"'
    assert f"in {{ }} needs quotes: {needed}" in str(raised.value)


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_page_on_silences_can_be_sent(tmp_path: Path, number: int) -> None:
    text = (DOCS / "silences.md").read_text(encoding="utf-8")
    block = text.split("```yaml\n")[number + 1].split("```")[0]
    file = tmp_path / "resources.yaml"
    file.write_text(block, encoding="utf-8")
    assert json.loads(json.dumps(read_resources(file)))


def test_python_objects_of_yaml_are_still_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.dump({"kind": Path("x")}), encoding="utf-8")
    with pytest.raises(InputError, match="no YAML"):
        read_resources(file)


def test_a_file_that_is_nested_too_deep_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "deep.yaml"
    file.write_text(f"kind: Alarm\nname: q\nspec: {'[' * 3000}{']' * 3000}\n", encoding="utf-8")

    with pytest.raises(InputError, match="nested too deep"):
        read_resources(file)
