import os
import subprocess
import sys

import pytest

# What Typer itself brings: it reads the words of a command with pydantic.
TYPER = {
    "annotated_doc", "annotated_types", "pydantic", "pydantic_core", "shellingham", "typer",
    "typing_extensions", "typing_inspection",
}  # fmt: skip


def test_what_explains_itself_imports_nothing_but_typer() -> None:
    """HTTP, YAML and tables would take as long again."""
    code = "import sys; before = set(sys.modules); from driftline.app.cli import run\n"
    code += "try: run()\nexcept SystemExit: pass\n"
    code += "print('imported', *{one.partition('.')[0] for one in set(sys.modules) - before})"
    asked = [sys.executable, "-c", code, "check", "--help"]

    found = subprocess.run(asked, capture_output=True, text=True, check=True)

    packages = set(found.stdout.rpartition("imported ")[2].split()) - sys.stdlib_module_names
    assert {one for one in packages if one[0] != "_"} <= {"driftline", *TYPER}


def test_a_crash_is_never_read_as_violations() -> None:
    code = "import driftline.app.commands.installation as r; r.version = lambda: 1 / 0;"
    code += "import sys; sys.argv = ['driftline', 'version']; "
    code += "from driftline.app.cli import main; main()"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert found.returncode == 3
    assert "defect" in found.stderr


@pytest.mark.parametrize(
    "code",
    [
        "r.version = lambda: print('kept in the buffer')",
        # By rich, which has an end of its own.
        "r.version = lambda: Answer({}, [Table(['a'], [{'a': 'b'}])]).print(as_json=False)",
    ],
)
def test_an_output_that_nobody_reads_ends_the_command_quietly(code: str) -> None:
    """1 would mean violations."""
    reader, writer = os.pipe()
    os.close(reader)
    lines = "import sys; import driftline.app.commands.installation as r\n"
    lines += "from driftline.app.cli import main\n"
    lines += "from driftline.app.commands.output import Answer, Table\n"
    lines += "sys.argv = ['driftline', 'version']"

    found = subprocess.run(
        [sys.executable, "-c", f"{lines}\n{code}\nmain()"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)

    assert (found.returncode, found.stderr) == (141, "")
