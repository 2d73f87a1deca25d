"""What a check is asked: roles that its baseline settles, and values that the face hands on."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check

DATA = pa.table(
    {
        "key": [f"k{number}" for number in range(400)],
        "at": [f"2024-01-{number % 28 + 1:02d}" for number in range(400)],
        "note": ["x", "y"] * 200,
        "late": [0, 1] * 200,
        "says": [0, 1] * 200,
    }
)


@pytest.mark.parametrize("kind", ["data-quality", "model-quality"])
@pytest.mark.parametrize(
    ("roles", "flag"),
    [
        ({"id_column": "key"}, "--id,"),
        ({"exclude": ["note"]}, "--exclude,"),
        ({"exclude": ["late", "typo"]}, "--exclude,"),
    ],
    ids=["id", "exclude", "several"],
)
def test_a_role_that_the_baseline_does_not_know_is_refused(
    kind: str, roles: dict[str, Any], flag: str
) -> None:
    baseline = Baseline.fit(DATA, label="late", prediction="says")

    with pytest.raises(InputError) as raised:
        check(DATA, baseline, kind=kind, **roles)

    assert "name it when the baseline is made" in str(raised.value)
    assert flag in str(raised.value)


def test_a_time_is_taken_where_a_check_reads_it_and_refused_elsewhere() -> None:
    baseline = Baseline.fit(DATA, label="late", prediction="says")

    assert check(DATA, baseline, kind="model-quality", timestamp="at").passed
    with pytest.raises(InputError, match='timestamp "at": a check judges'):
        check(DATA, baseline, timestamp="at")


@pytest.mark.parametrize("reference", [DATA, None, 3], ids=["table", "nothing", "number"])
def test_what_is_no_baseline_is_told_how_to_become_one(reference: Any) -> None:
    with pytest.raises(InputError, match=r"make one with dl\.Baseline\.fit"):
        check(DATA, reference)


@pytest.mark.parametrize("labels", [[None] * 400, ["yes"] * 40 + [None] * 360])
def test_labels_that_have_not_come_yet_are_no_gaps(labels: list[str | None]) -> None:
    temps = [float(number % 37) for number in range(400)]
    reference = Baseline.fit(pa.table({"temp": temps, "late": ["yes", "no"] * 200}), label="late")

    report = check(pa.table({"temp": temps, "late": pa.array(labels, pa.string())}), reference)

    assert report.violations == ()
