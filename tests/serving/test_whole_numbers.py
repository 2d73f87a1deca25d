"""Whole numbers in requests: 64 bits are what a column of them holds."""

from __future__ import annotations

import pytest
import skops.io

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation


@pytest.fixture(scope="module")
def served(installation: Installation) -> Installation:
    """Deploy a model of which one column holds whole numbers."""
    orders = labelled(stream(ORDERS, rows=500, seed=1))
    skops.io.dump(fit(orders, ("km", "items")), installation.folder / "late.skops")
    reference = installation.folder / "reference.parquet"
    orders[["km", "items", "late"]].to_parquet(reference)
    installation.done(
        "deploy", "late.skops", "--name", "late", "--reference", str(reference), "--label", "late"
    )
    return installation


@pytest.mark.parametrize(
    ("items", "status"),
    [
        ("9007199254740993", 200),
        ("9223372036854775807", 200),
        ("9223372036854775808", 400),
        ("-9223372036854775809", 400),
        ("1e19", 400),
        ("inf", 400),
        ("2.5", 200),  # A fraction is passed on to the model.
    ],
)
def test_whole_numbers_beyond_64_bits_are_refused(
    served: Installation, items: str, status: int
) -> None:
    answers = [served.invoke("late", f"1.5,{items}\n")]
    if items != "inf":
        answers += [served.invoke("late", body.encode(), "application/json") for body in (
            f'{{"km": 1.5, "items": {items}}}', f"[[1.5, {items}], [1.5, 2]]",
        )]  # fmt: skip

    assert [answer.status_code for answer in answers] == [status] * len(answers)
    if status == 400:
        assert all("64 bits" in answer.text for answer in answers)
