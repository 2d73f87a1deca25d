"""Memory that is freed and needed again comes without the kernel."""

from __future__ import annotations

import subprocess
import sys

# Without Arrow's pieces: they are aligned, and glibc up to 2.37 looks for room to spare for such
# a piece, so that it may not fit in the gap that it left, and the heap grows by it now and then.
PROBE = """
import resource
import sys
import pyarrow as pa
from driftline.capture.line.sink import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
    assert pa.default_memory_pool().backend_name == "system"

def work():
    pieces = [b"x" * (12 << 20) for _ in range(4)]
    del pieces

for _ in range(5):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 5 * 4 * (12 << 20) // 4096  # Of all pieces of the five rounds.


def test_freed_memory_is_used_again_without_the_kernel() -> None:
    assert page_faults("by default") > PAGES / 3
    assert page_faults("kept") < PAGES / 30


def page_faults(freed: str) -> int:
    told = subprocess.run(
        [sys.executable, "-c", PROBE, freed], check=True, stdout=subprocess.PIPE, text=True
    )
    return int(told.stdout)
