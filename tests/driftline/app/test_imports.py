"""What the command line imports before a command's own work begins: nothing that is slow."""

import subprocess
import sys

import pytest

# What Typer itself brings: it reads the words of a command with pydantic.
TYPER = {
    "annotated_doc", "annotated_types", "pydantic", "pydantic_core", "shellingham", "typer",
    "typing_extensions", "typing_inspection",
}  # fmt: skip
PRINT = "print('imported', *set(sys.modules) - before)"
MAIN = """
import sys; before = set(sys.modules)
from driftline.app.cli import run
try:
    run()
except SystemExit:
    pass
"""
EVERY_HELP = """
import sys; before = set(sys.modules)
from typer.main import get_command
from driftline.app.cli import build

def show(command, context, name):
    with command.make_context(name, [], parent=context, resilient_parsing=True) as inner:
        assert "--help" in command.get_help(inner)
        for child, each in getattr(command, "commands", {}).items():
            show(each, inner, child)

show(get_command(build()), None, "driftline")
"""


def _imported(code: str, *words: str) -> set[str]:
    """Return the packages outside the standard library that code imports."""
    done = subprocess.run(
        [sys.executable, "-c", code + PRINT, *words], capture_output=True, text=True, check=True
    )
    *_, modules = done.stdout.rpartition("imported ")
    packages = {name.partition(".")[0] for name in modules.split()} - sys.stdlib_module_names
    # Parts of compiled modules stand under names of their own.
    return {one for one in packages if not one.startswith("_")} - {"cython_runtime", "driftline"}


def test_no_command_imports_anything_but_typer_to_explain_itself() -> None:
    assert _imported(EVERY_HELP) <= TYPER


@pytest.mark.parametrize("words", ["--help", "version", "check --help", "get nothing --nosuch"])
def test_the_command_line_imports_nothing_but_typer(words: str) -> None:
    assert _imported(MAIN, *words.split()) <= TYPER


def test_settings_import_only_what_prints_a_table_besides() -> None:
    assert _imported(MAIN, "settings") <= TYPER | {"markdown_it", "mdurl", "pygments", "rich"}


def test_the_supervisor_imports_nothing_but_the_standard_library() -> None:
    assert not _imported("import sys; before = set(sys.modules); import driftline.app.up; ")
