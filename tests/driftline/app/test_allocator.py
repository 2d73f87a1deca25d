"""How the libraries of a process are told to allocate; bench/hosting_soak.md has what it saves."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CHOSEN = """
import json, os, sys

from driftline.app.allocator import VARIABLES, choose_allocators

assert not {"deltalake", "pyarrow"} & set(sys.modules), "they read it when they are loaded"
choose_allocators()
print(json.dumps({name: os.environ[name] for name in VARIABLES}))
"""
POOL, CONF = "ARROW_DEFAULT_MEMORY_POOL", "_RJEM_MALLOC_CONF"


@pytest.mark.parametrize(("given", "pool"), [({}, "system"), ({POOL: "mimalloc"}, "mimalloc")])
def test_libraries_are_told_to_keep_little_before_they_are_loaded(
    given: dict[str, str], pool: str
) -> None:
    others = {name: value for name, value in os.environ.items() if name not in (POOL, CONF)}
    told = subprocess.run(
        [sys.executable, "-c", CHOSEN],
        check=True, stdout=subprocess.PIPE, text=True, env=others | given,
    )  # fmt: skip

    chosen = json.loads(told.stdout)

    assert chosen[POOL] == pool, "whoever sets it decides"
    assert {"narenas:1", "tcache:false"} <= set(chosen[CONF].split(","))
