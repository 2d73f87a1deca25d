"""Rules on values at the edges of their types, and on columns that are no plain ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.errors import InputError
from driftline.monitors.rules.judging import judge
from driftline.monitors.rules.outcome import Outcome
from driftline.monitors.rules.reading import read_rules
from driftline.monitors.rules.ruleset import RuleSet

# Whole numbers that a double cannot hold, as ids of clouds are.
BIG = pa.record_batch({"whole": [2**62 + 1, -5, 3], "part": [0.5, -6.0, 4.0]})


def outcome(rule: object, batch: pa.RecordBatch) -> Outcome:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    return judge(RuleSet.of([rule]), lambda _columns: [batch], moment)[0]


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        ({"column": "whole", "min": 0.5}, 1),
        ({"column": "whole", "above": -5.0, "max": 2**62}, 2),
        ({"column": "part", "min": 2**53 + 1}, 3),
        ({"column": "part", "max": 2**53 + 1, "above": -6}, 1),
    ],
    ids=lambda one: "-".join(map(str, one.values())) if isinstance(one, dict) else "",
)
def test_bounds_and_values_beyond_2_to_the_53_are_compared(
    limits: dict[str, object], broken: int
) -> None:
    tally = outcome({"check": "bounds", **limits}, BIG).tally

    assert (tally.judged_count, tally.broken_count) == (3, broken)


@pytest.mark.parametrize(
    "start", ["- ", "- {check: values, column: x, values: "], ids=["rule", "value"]
)
def test_a_file_that_unfolds_without_end_is_refused_at_once(tmp_path: Path, start: str) -> None:
    folds = ["&a0 [x, x]", *(f"&a{at} [*a{at - 1}, *a{at - 1}]" for at in range(1, 60))]
    text = f"{start}[{', '.join(folds)}]{'}' if '{' in start else ''}"
    (tmp_path / "rules.yaml").write_text(text)

    with pytest.raises(InputError, match=r"expected a") as found:
        read_rules(tmp_path / "rules.yaml")

    assert len(str(found.value)) < 1000
