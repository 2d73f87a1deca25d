"""Bands: what they hold on simulated seasons, what moves them and what does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.bands import DAY_S, IN_A_ROW, LEARN_D, START, alarms, bursts, kinds, ours, season, watch
from driftline.alerts.math.band import BandModel, Learning, band, fit

PERIOD = 900
TIMES = np.arange(START, START + 42 * DAY_S, PERIOD, dtype=np.int64)
LEARN = slice(0, LEARN_D * DAY_S // PERIOD)
NEXT_DAY = slice(LEARN.stop, LEARN.stop + DAY_S // PERIOD)


def line(seed: int = 0, *, seasons: float = 60.0, noise: float = 5.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 100 + seasons * season(TIMES) + noise * random.normal(size=len(TIMES))


def learnt(values: np.ndarray, **how) -> BandModel:
    model = fit(TIMES[LEARN], values[LEARN], PERIOD, Learning(**how))
    assert model is not None
    return model


@pytest.mark.first(4)
@pytest.mark.parametrize("kind", sorted(kinds(TIMES[:200], np.random.default_rng(0))))
def test_three_deviations_hold_almost_everything_and_call_seldom(kind):
    values = kinds(TIMES, np.random.default_rng(7))[kind]
    lower, upper = watch(values, TIMES, PERIOD, ours)
    seen = values[LEARN.stop :]
    outside = (seen < lower) | (seen > upper)

    assert 1 - outside.mean() > 0.96
    assert alarms(outside) <= (8 if "days differ" in kind else 3)


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "kind",
    ["seasons, normal noise", "flat, normal noise", "requests (Poisson, 2 to 42)",
     "latency (log-normal)"],
)  # fmt: skip
def test_bursts_are_found_at_any_hour(kind):
    values = kinds(TIMES, np.random.default_rng(7))[kind]
    limits = watch(values, TIMES, PERIOD, ours)
    spread = float(np.std(np.diff(values)) / np.sqrt(2))

    found, tried = bursts(values[LEARN.stop :], limits, spread, np.random.default_rng(1))

    assert found / tried > 0.8 and IN_A_ROW == 3


@pytest.mark.parametrize(("deviations", "share"), [(1.0, 0.683), (2.0, 0.954), (3.0, 0.997)])
def test_so_many_deviations_are_those_of_the_normal_distribution(deviations, share):
    values = line()
    model = learnt(values)
    lower, upper = band(model, TIMES[LEARN.stop :], deviations)
    seen = values[LEARN.stop :]

    assert ((seen >= lower) & (seen <= upper)).mean() == pytest.approx(share, abs=0.03)


def test_a_new_level_is_learnt_by_the_speed():
    values = line(seasons=0)
    values[11 * DAY_S // PERIOD :] += 100

    fast, slow = learnt(values, half_life_d=1), learnt(values, half_life_d=10)

    assert fast.level == pytest.approx(200, abs=5)
    assert slow.level == pytest.approx(100, abs=5)


def test_a_trend_is_followed():
    values = line() + 10 * (TIMES - START) / DAY_S

    lower, upper = band(learnt(values), TIMES[NEXT_DAY], 3)
    seen = values[NEXT_DAY]

    assert ((seen >= lower) & (seen <= upper)).mean() > 0.95
    assert np.mean(upper - lower) < 80


def test_hours_are_those_of_the_zone():
    # The hump stands at 13 hours local time in New York, on working days there.
    shifted = 100 + 60 * season(TIMES - 5 * 3600) + np.random.default_rng(0).normal(size=len(TIMES))

    here = learnt(shifted, zone="America/New_York")
    centres = np.array([one for one in here.centres[:24] if one is not None])

    assert int(np.argmax(centres)) in (12, 13)
    assert learnt(shifted, zone="-05:00").centres == here.centres


def test_fewer_than_thirty_points_make_no_band():
    values = line()

    assert fit(TIMES[:29], values[:29], PERIOD) is None
    assert fit(TIMES[:30], values[:30], PERIOD) is not None
    assert fit(TIMES[:60], values[:60], PERIOD, Learning(excluded=[(0, int(TIMES[31]))])) is None


def test_one_week_learns_hours_and_two_learn_free_days():
    values = line(noise=1)
    week = slice(0, 7 * DAY_S // PERIOD)
    one, two = fit(TIMES[week], values[week], PERIOD), learnt(values)
    assert one is not None

    assert one.centres[:24] == one.centres[24:]
    noon, free_noon = two.centres[13], two.centres[24 + 13]
    assert noon is not None and free_noon is not None
    assert noon - free_noon == pytest.approx(60 * 0.7, abs=3)


def test_counts_never_go_below_zero_nor_call_for_a_single_one():
    random = np.random.default_rng(0)
    values = random.poisson(0.05, size=len(TIMES)).astype(float)

    lower, upper = band(learnt(values), TIMES[NEXT_DAY], 3)

    assert lower.min() == 0 and upper.min() > 1 and upper.max() < 3


def test_a_model_is_plain_json_and_comes_back_the_same():
    model = learnt(line())

    again = BandModel.from_dict(json.loads(json.dumps(model.as_dict())))

    assert again == model
    assert np.array_equal(band(again, TIMES, 2), band(model, TIMES, 2))


@given(
    st.lists(st.floats(-1e9, 1e9) | st.integers(0, 3).map(float), min_size=30, max_size=120),
    st.sampled_from([60, 3600, 7200, DAY_S]),
    st.integers(0, 10**6),
    st.sampled_from([0.95, 0.99, None]),
)
def test_whatever_the_values_the_band_is_a_band(values, period, first, tail):
    times = first + period * np.arange(len(values), dtype=np.int64)
    model = fit(times, np.array(values), period, Learning(tail=tail))
    assert model is not None

    lower, upper = band(model, times, 2.0)

    there = np.isfinite(lower)
    assert there.all() and np.isfinite(upper).all()
    assert (lower <= upper).all()
