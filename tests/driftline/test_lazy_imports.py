"""A process that starts lean gets what it left out when it asks for it."""

import subprocess
import sys


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_lean_process_gets_pandas_when_it_asks_for_it() -> None:
    code = (
        "from driftline.lazy_imports import start_lean; start_lean(); import pyarrow as pa; "
        "frame = pa.table({'a': [1]}).to_pandas(); print(type(frame).__name__, "
        "pa.array(frame['a']).type)"
    )
    assert _run(code) == "DataFrame int64"
