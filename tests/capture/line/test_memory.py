"""Memory that is freed and needed again comes without the kernel."""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import resource
import pyarrow as pa
import pyarrow.compute as pc
from driftline.capture.line.sink import keep_freed_memory

keep_freed_memory()
numbers = pa.nulls(1_500_000, pa.float64())

def work():
    pieces = [b"x" * (12 << 20) for _ in range(3)], pc.add(numbers, 1.0)
    del pieces

for _ in range(5):
    work()
told = []
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    told.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
# A small piece that stays may lie so that the heap grows by one large piece, once.
print(sorted(told)[2])
"""


def test_freed_memory_is_used_again_without_the_kernel() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, stdout=subprocess.PIPE, text=True
    )

    assert int(told.stdout) < 1_000  # 48 MiB are 12,288 pages.
