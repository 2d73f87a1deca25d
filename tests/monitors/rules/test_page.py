"""docs/rules.md: its examples give what stands below them, its table names every check and key."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from driftline.monitors.rules.reading import read_rules

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def test_the_examples_print_what_the_page_says() -> None:
    examples = EXAMPLE.findall(PAGE)
    names: dict[str, object] = {}

    assert len(examples) == 3
    for code, expected in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/rules.md", "exec"), names)
        assert printed.getvalue() == expected


def test_the_files_on_the_page_can_be_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "rules.yaml").write_text(blocks[0])

    assert len(read_rules(tmp_path / "rules.yaml").rules) == 4
