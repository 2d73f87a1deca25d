"""Values that are not of their column's type: those that the reference has, too, are no news."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.servers.commands import driftline

ROWS = 3000


def _rows(seed: int, *, at: float = 0.0, score: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-05", periods=ROWS, freq="15min", tz="UTC")
    written = times.strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy().astype(object)
    written[rng.random(ROWS) < at] = "unknown"
    scores = rng.random(ROWS).round(3).astype(object)
    scores[rng.random(ROWS) < score] = "timeout"
    price = rng.gamma(4, 5, ROWS).round(2)
    return pd.DataFrame({"at": written, "price": price, "score": scores})


@pytest.mark.parametrize(
    ("column", "roles"),
    [("at", ["--timestamp", "at"]), ("score", ["--timestamp", "at", "--probability", "score"])],
)
def test_a_share_of_misfits_pages_only_where_it_is_larger_than_in_the_reference(
    tmp_path: Path, column: str, roles: list[str]
) -> None:
    for name, seed, share in (("train", 1, 0.05), ("same", 2, 0.05), ("more", 3, 0.15)):
        _rows(seed, **{column: share}).to_csv(tmp_path / f"{name}.csv", index=False)
    assert driftline("baseline", "train.csv", "-o", "b", *roles, cwd=tmp_path).returncode == 0
    same = driftline("check", "same.csv", "--baseline", "b", cwd=tmp_path)
    assert same.returncode == 0, same.stdout
    more = driftline("check", "more.csv", "--baseline", "b", "--json", cwd=tmp_path)
    assert more.returncode == 1
    assert "data_type_check" in more.stdout
