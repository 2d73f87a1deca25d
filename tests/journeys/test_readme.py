"""What the README shows runs as it stands there, and prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


def test_the_notebook_example_prints_what_the_readme_shows() -> None:
    example, shown = _blocks("python")[0], _blocks("text")[0]

    found = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True, timeout=120
    )

    assert found.stdout == shown


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert len(README.splitlines()) < 120
    assert links
    for link in links:
        assert (Path(__file__).parents[2] / link).exists(), link
