"""Losses by level: three numbers that add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline


def answered(rows: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "seg": rng.choice(["a", "b", ""], rows, p=[0.6, 0.3, 0.1]),
            "flag": rng.random(rows) < 0.5,
            "x": rng.normal(size=rows),
            "y": rng.integers(0, 2, rows),
        }
    )
    frame["chance"] = np.clip(frame.y * 0.6 + rng.normal(0.2, 0.2, rows), 0, 1)
    return frame


def test_sums_are_those_of_pandas() -> None:
    frame = answered(3_000)

    losses = Baseline.fit(frame, label="y", probability="chance", problem="binary").losses

    loss = (frame.chance - frame.y) ** 2
    groups = loss.groupby(frame.seg)
    assert losses.keys() == {"seg", "flag"}
    assert losses["seg"].levels == ("a", "b")
    squares = (loss**2).groupby(frame.seg)
    wanted = [
        [one.get(level, 0) for level in ("a", "b", "others", "")]
        for one in (groups.size(), groups.sum(), squares.sum())
    ]
    assert losses["seg"].sums == pytest.approx(np.array(wanted))
    assert losses["flag"].sums[0].sum() == 3_000


def test_classes_and_numbers_have_losses_too() -> None:
    frame = answered(400)
    frame["said"] = frame.y.where(frame.seg != "a", 1 - frame.y)
    frame["value"], frame["guess"] = frame.x, frame.x + np.where(frame.seg == "a", 2.0, 0.0)
    answers = {"label": "y", "prediction": "said", "exclude": ["value", "guess"]}

    wrong = Baseline.fit(frame.drop(columns="chance"), **answers).losses["seg"].sums
    squared = Baseline.fit(frame, label="value", prediction="guess", problem="regression").losses

    assert wrong[1] == pytest.approx(wrong[0] * [1, 0, 0, 0])
    assert squared["seg"].sums[1] == pytest.approx(4 * wrong[0] * [1, 0, 0, 0])


def test_parts_add_up_to_the_whole(tmp_path) -> None:
    frame = answered(2_000)
    frame[:1_200].to_parquet(tmp_path / "1.parquet")
    frame[1_200:].to_parquet(tmp_path / "2.parquet")
    roles = {"label": "y", "probability": "chance", "problem": "binary"}

    parts, whole = Baseline.fit(tmp_path, **roles), Baseline.fit(frame, **roles)

    for name, one in whole.losses.items():
        assert parts.losses[name].sums == pytest.approx(one.sums)


def test_what_is_saved_loads_as_it_was(tmp_path) -> None:
    fitted = Baseline.fit(answered(500), label="y", probability="chance", problem="binary")
    fitted.save(tmp_path / "b")

    again = Baseline.load(tmp_path / "b")

    assert again.version == fitted.version
    assert again.losses["seg"].sums.tolist() == fitted.losses["seg"].sums.tolist()
