"""Texts that hold a token of their own, such as an order number, are of the same source."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import driftline as dl

ROWS = 3000
TOKENS = {"hash": 16, "number": 10, "uuid": 16}


def _frame(seed: int, kind: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    base = TOKENS[kind]
    digits = rng.integers(0, base, (ROWS, 32 if base == 16 else 9))
    tokens = ["".join(f"{one:x}" for one in row) for row in digits]
    if kind == "uuid":
        tokens = [f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}" for one in tokens]
    texts = [f"Your order number {one} has shipped" for one in tokens]
    return pd.DataFrame({"amount": rng.gamma(3, 9, ROWS).round(4), "message": texts})


@pytest.mark.parametrize("kind", TOKENS)
def test_texts_with_a_token_of_their_own_get_no_ticket_of_words(kind: str) -> None:
    baseline = dl.Baseline.fit(_frame(1, kind))
    for seed in (2, 3):
        report = dl.check(_frame(seed, kind), baseline, kind="joint")
        assert list(report.violations) == []


def test_other_words_around_the_tokens_get_one() -> None:
    baseline = dl.Baseline.fit(_frame(1, "number"))
    rows = _frame(2, "number")
    rows["message"] = rows["message"].str.replace("has shipped", "was refunded")
    report = dl.check(rows, baseline, kind="joint")
    assert [one.feature_name for one in report.violations] == ["message"]
