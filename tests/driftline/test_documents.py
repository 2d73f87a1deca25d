"""What the documents name is there: files, tests, commands with their options, settings."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from driftline.app.cli import build
from driftline.app.commands.baseline import DataOrCommand
from driftline.app.settings.settings import secret_of_file, sections

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "bench").glob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
)
SOURCES = sorted(
    file
    for folder in ("alerts", "baseline", "bench", "capture", "dashboard", "driftline", "monitors",
                   "scripts", "serving", "tests")
    for file in (ROOT / folder).rglob("*.py")
)  # fmt: skip
FOLDERS = r"(?:alerts|baseline|bench|capture|dashboard|docs|driftline|monitors|serving|tests)"
# A file in a folder of the repository; `tests/` and others also without a file's name.
FILE = re.compile(rf"(?<![\w./~-]){FOLDERS}/[\w./-]*\w\.(?:py|md|toml|yaml|png|json|parquet)\b")
PLACE = re.compile(
    r"(?<![\w./~-])(?:docs|bench|tests|scripts|\.ci)/[\w/-]*\w(?![\w-]|\.\w|/?[<{*])"
)
TEST = re.compile(r"(?<![\w/])test_\w+\.py\b")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
SETTING = re.compile(r"\[([a-z]+)\] ([a-z_]+)")
VARIABLE = re.compile(r"\bDRIFTLINE_([A-Z]+)__([A-Z_]+)\b")
# Files that a reader makes while following a document, in folders named as ours are.
MADE = {"baseline/constraints.json", "baseline/statistics.json"}


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def prose(text: str) -> str:
    return FENCE.sub("", text)


def commands(text: str) -> Iterator[list[str]]:
    """Return the words of each command: lines of fenced blocks, and code within sentences."""
    blocks = [block.replace("\\\n", " ") for _, block in FENCE.findall(text)]
    lines = [line for block in blocks for line in block.splitlines()]
    spans = [" ".join(span.split()) for span in SPAN.findall(prose(text))]
    for line in (*lines, *spans):
        # With one blank: in tables that a command has printed there are more.
        if re.match(r"(\$ )?driftline [\w-]", line):
            words = shlex.split(line.removeprefix("$ "), comments=True)
            yield [word for word in words[1:] if word not in (">", "|", "…", "...")]


@cache
def _command_line() -> Any:
    return get_command(build())


def unknown(words: list[str]) -> str | None:
    """Return the first word that the command line does not know."""
    known = _command_line()
    while hasattr(known, "commands") and words and not words[0].startswith("-"):
        word, *words = words
        if word.isupper():  # Stands for any command.
            return None
        if word not in known.commands and isinstance(known, DataOrCommand):
            break
        if word not in known.commands:
            return word
        known = known.commands[word]
    if isinstance(known, DataOrCommand):
        known = known.commands["fit"]
    options = {name for one in known.params for name in (*one.opts, *one.secondary_opts)}
    options |= {"-h", "--help"}
    asked = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((word for word in asked if word not in options), None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text()
    named = {*FILE.findall(text), *PLACE.findall(prose(text))} - MADE
    missing = [one for one in sorted(named) if not (ROOT / one).exists()]
    missing += [one for one in LINK.findall(prose(text)) if not (document.parent / one).exists()]
    tests = {file.name for file in (ROOT / "tests").rglob("test_*.py")}

    assert missing == []
    assert sorted(set(TEST.findall(text)) - tests) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_that_a_document_names_are_there_with_their_options(document: Path) -> None:
    wrong = {
        " ".join(words): word
        for words in commands(document.read_text())
        if (word := unknown(words)) is not None
    }

    assert wrong == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_settings_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text()
    keys = {name: set(kind.model_fields) for name, kind in sections().items()}
    named = set(SETTING.findall(prose(text)))
    # Of a setting that is a table, an entry may be named, too, and of a secret its file.
    found = {(one.lower(), key.lower()) for one, key in VARIABLE.findall(text)}
    for one, key in found - {("section", "key")}:
        name = secret_of_file(one, key) if one in keys else ""
        named.add((one, (name or key).partition("__")[0]))
    for kind, block in FENCE.findall(text):
        if kind == "toml":
            named |= {(one, key) for one, part in tomllib.loads(block).items() for key in part}

    assert sorted(one for one in named if one[1] not in keys.get(one[0], set())) == []


def test_documents_that_the_source_names_are_there() -> None:
    named = {
        (name_of(file), one)
        for file in SOURCES
        if file != Path(__file__)
        for one in re.findall(r"\b(?:docs|bench)/[\w/-]+\.md\b", file.read_text())
    }

    assert [pair for pair in sorted(named) if not (ROOT / pair[1]).exists()] == []


def test_what_is_not_there_is_found() -> None:
    assert FILE.findall("see tests/capture/test_crash.py, and docs/why/x.md.") == [
        "tests/capture/test_crash.py",
        "docs/why/x.md",
    ]
    assert PLACE.findall("`scripts/nothing`, .driftline/capture/x and capture/<endpoint>") == [
        "scripts/nothing"
    ]
    found = list(
        commands("`driftline up --nowhere` and\n```sh\ndriftline monitor walk  # so\n```\n")
    )
    assert [unknown(words) for words in found] == ["walk", "--nowhere"]
    assert [unknown(shlex.split(one)) for one in ("COMMAND --help", "up --only sink", "-h")] == [
        None
    ] * 3
