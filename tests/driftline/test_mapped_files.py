"""Pages of libraries that a process lets go of after its imports."""

import subprocess
import sys

import pytest

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of mappings")


@_LINUX
def test_a_process_works_on_with_less_memory_of_files() -> None:
    code = (
        "import re, pyarrow.compute as pc, numpy as np, pyarrow as pa\n"
        "from driftline.mapped_files import release_mapped_files\n"
        "def files():\n"
        "    text = open('/proc/self/status').read()\n"
        "    return int(re.search(r'RssFile:\\s+(\\d+)', text)[1])\n"
        "before = files(); release_mapped_files(); after = files()\n"
        "assert pc.sum(pa.array(np.arange(1000.0))).as_py() == 499500\n"
        "print(before, after)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 2
