"""A short run of bench/false_alarms.py: streams that do not drift stay silent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "bench" / "false_alarms.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("false_alarms", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["false_alarms"] = module  # Its dataclasses look their module up.
    spec.loader.exec_module(module)
    yield module
    del sys.modules["false_alarms"]


@pytest.mark.parametrize("stream", ["independent", "autocorrelated", "clustered"])
@pytest.mark.parametrize("rows", [30, 300])
def test_data_that_do_not_change_raise_no_alarm(bench, stream: str, rows: int) -> None:
    # 40 days each: a budget of one a year allows 0.1 of them; three have a chance under 2e-4 each.
    found = bench.simulate(stream, rows=rows, reference_days=60, years=40 / 365, seed=11)

    assert found.windows == 40
    assert found.violations < 3


def test_bursts_of_gaps_that_a_short_reference_never_saw_raise_no_alarm(bench) -> None:
    # The reference happens to hold no gap: such gaps are taken to cluster as the sessions do.
    found = bench.simulate("clustered", rows=30, reference_days=30, years=90 / 365, seed=100)

    assert found.violations < 3
