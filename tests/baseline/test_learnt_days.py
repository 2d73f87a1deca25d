"""What the day test learns of a reference, kept with the baseline: the same, and learnt once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.baseline.learnt_days import LearntDays
from driftline.baseline.reference_days import ReferenceDays
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from tests.monitors.day_test.weather import weather

DAYS = 100


@cache
def rows() -> pd.DataFrame:
    found = weather(DAYS + 14)
    # Of texts each level has a score; where values are missing rows weigh otherwise.
    found["sky"] = np.where(found["temp"] > found["temp"].median(), "clear", "cloudy")
    found.loc[::5, "pressure"] = np.nan
    return found


@cache
def fitted() -> Baseline:
    return Baseline.fit(rows()[: 24 * DAYS], timestamp="at")


def later() -> pd.DataFrame:
    return rows()[24 * DAYS :].reset_index(drop=True)


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, ...]]]:
    """Of each time that days are learnt, the columns."""
    calls: list[tuple[str, ...]] = []
    learn = ReferenceDays.of

    def counted(columns, blocks, steps, context):
        calls.append(tuple(columns))
        return learn(columns, blocks, steps, context)

    monkeypatch.setattr(ReferenceDays, "of", counted)
    return calls


def test_results_are_those_of_a_baseline_that_keeps_nothing(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    loaded = Baseline.load(tmp_path)
    assert loaded.learnt_days is not None

    window = later().assign(temp=lambda one: one["temp"].shift(8).bfill())
    reports = [
        dl.check(window, one).to_dict()
        for one in (fitted(), loaded, replace(loaded, learnt_days=None))
    ]

    assert [*reports[0]["details"]["day_test"]["findings"]] == ["temp"]
    assert json.dumps(reports[0]) == json.dumps(reports[1]) == json.dumps(reports[2])


def test_what_rests_on_another_profile_is_not_heeded(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    Baseline.fit(rows()[: 24 * (DAYS - 7)], timestamp="at").save(tmp_path / "other")
    (tmp_path / "other" / "learnt-days.arrow").replace(tmp_path / "learnt-days.arrow")

    assert Baseline.load(tmp_path).learnt_days is None


def test_what_is_damaged_is_refused() -> None:
    data = bytearray(fitted().learnt_days.to_bytes(b"profile"))
    data[len(data) // 2] ^= 1

    with pytest.raises(InputError, match="damaged"):
        LearntDays.from_bytes(bytes(data), b"profile", {})


@pytest.mark.parametrize("data", [b"", b"garbage", None], ids=["empty", "foreign", "cut"])
def test_a_baseline_whose_learnt_days_are_damaged_learns_them_anew(
    tmp_path: Path, data: bytes | None
) -> None:
    fitted().save(tmp_path)
    file = tmp_path / "learnt-days.arrow"
    file.write_bytes(file.read_bytes()[:-40] if data is None else data)

    assert Baseline.load(tmp_path).learnt_days is None
