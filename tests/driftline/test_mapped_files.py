"""Pages of libraries that a process lets go of after its imports."""

import subprocess
import sys

import pytest

from driftline.mapped_files import _unwritten

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of mappings")
# Two of a library (its code, and what relocation wrote to), its writable data, and memory of none.
_MAPS = """\
7f00-7f10 r-xp 00000000 fe:00 77 /lib/a library.so
Rss:                  64 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
7f10-7f20 r--p 00010000 fe:00 77 /lib/a library.so
Anonymous:             4 kB
Swap:                  0 kB
VmFlags: rd mr mw me ac
7f20-7f30 rw-p 00020000 fe:00 77 /lib/a library.so
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me ac
7f30-7f40 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me ac
7f40-7f50 r--p 00020000 fe:00 77 /lib/a library.so
Anonymous:             0 kB
Swap:                  8 kB
VmFlags: rd mr mw me ac
"""


def test_only_what_nobody_has_written_to_is_let_go_of() -> None:
    assert [*_unwritten(_MAPS)] == [(0x7F00, 0x7F10)]


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
