"""What README and docs show runs as it stands there, and prints what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("name", "count"), [("README.md", 1), ("docs/monitors.md", 2), ("docs/windows.md", 1)]
)
def test_the_first_examples_print_what_the_page_shows(name: str, count: int) -> None:
    example, shown = ("".join(_blocks(ROOT / name, kind)[:count]) for kind in ("python", "text"))

    found = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True, timeout=120
    )

    assert found.stdout == shown


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


LINKS = [
    (page, link)
    for page in PAGES
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())
    if not link.startswith("http")
]


def test_links_lead_somewhere() -> None:
    assert LINKS
    assert [link for page, link in LINKS if not (page.parent / link).exists()] == []
