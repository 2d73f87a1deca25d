"""How the libraries of a process are told to allocate; docs/measured.md has what it saves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from driftline.app.allocator import VARIABLES

CHOSEN = """
import json, os, sys

from driftline.app.allocator import VARIABLES, choose_allocators

assert not {"deltalake", "pyarrow"} & set(sys.modules), "they read it when they are loaded"
choose_allocators()
choose_allocators()  # As a process does that is started by one that has chosen.
print(json.dumps({name: os.environ[name] for name in VARIABLES}))
"""
COMMITS = """
import json, sys
from pathlib import Path

from driftline.app.allocator import choose_allocators

choose_allocators()

import pyarrow as pa
from driftline.capture.tables.dataset import Dataset, table_schema

def anonymous_kib():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

dataset = Dataset(sys.argv[1], "flights")
rows = pa.Table.from_pylist([{"event_date": "2026-01-01"}], table_schema(None))
dataset.append(rows, {"spool": 1})
before, kept = anonymous_kib(), []
for number in range(2, 120):  # The log is longest before its checkpoint, at the hundredth.
    dataset.append(rows, {"spool": number})
    kept.append(anonymous_kib() - before)
print(json.dumps(kept))
"""
POOL, CONF = "ARROW_DEFAULT_MEMORY_POOL", "_RJEM_MALLOC_CONF"
POLARS = "dirty_decay_ms:500,muzzy_decay_ms:1000"  # As its __init__.py leaves it.


def told(script: str, *arguments: str, given: dict[str, str]) -> object:
    """Return what a new process says, in whose environment nobody else has chosen allocators."""
    others = {name: value for name, value in os.environ.items() if name not in (POOL, CONF)}
    found = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=True, stdout=subprocess.PIPE, text=True, env=others | given,
    )  # fmt: skip
    return json.loads(found.stdout)


@pytest.mark.parametrize(("given", "pool"), [({}, "system"), ({POOL: "mimalloc"}, "mimalloc")])
def test_libraries_are_told_to_keep_little_before_they_are_loaded(
    given: dict[str, str], pool: str
) -> None:
    assert told(CHOSEN, given=given) == {POOL: pool, CONF: VARIABLES[CONF]}, (
        "whoever sets it decides"
    )


def test_another_decides_on_the_options_it_names_and_on_no_others() -> None:
    chosen = told(CHOSEN, given={CONF: POLARS})

    assert chosen[CONF] == f"{VARIABLES[CONF]},{POLARS}", "of an option named twice the last counts"
    assert {"narenas:1", "tcache:false"} <= set(VARIABLES[CONF].split(","))


def test_commits_to_a_table_leave_little_memory_behind(tmp_path: Path) -> None:
    kept = told(COMMITS, str(tmp_path), given={})

    # What lies there at one moment may be in use; what is kept lies there at all of them. 4 to 5
    # MiB; 24 to 29 where Polars alone decides, 30 to 36 where delta-rs allocates as it comes.
    assert min(kept[-19:]) < 15 << 10
