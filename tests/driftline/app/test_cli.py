import os
import subprocess
import sys

import pytest


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
