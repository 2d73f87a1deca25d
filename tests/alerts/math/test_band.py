"""Bands: what they hold on simulated seasons, what moves them and what does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bands import DAY_S, IN_A_ROW, LEARN_D, START, alarms, bursts, kinds, ours, season, watch
from driftline.alerts.errors import AlarmError
from driftline.alerts.math.band import BandModel, Learning, band, fit
from driftline.alerts.math.zones import zone_of

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


@pytest.mark.parametrize("kind", sorted(kinds(TIMES[:200], np.random.default_rng(0))))
def test_three_deviations_hold_almost_everything_and_call_seldom(kind):
    values = kinds(TIMES, np.random.default_rng(7))[kind]
    lower, upper = watch(values, TIMES, PERIOD, ours)
    seen = values[LEARN.stop :]
    outside = (seen < lower) | (seen > upper)

    assert 1 - outside.mean() > 0.96
    assert alarms(outside) <= (8 if "days differ" in kind else 3)


@pytest.mark.parametrize(
    "kind",
    ["flat, normal noise", "seasons, normal noise", "requests (Poisson, 2 to 42)",
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


def test_bursts_in_the_history_move_nothing():
    calm = line()
    wild = calm.copy()
    places = np.random.default_rng(3).choice(LEARN.stop, size=LEARN.stop // 50, replace=False)
    wild[places] *= 20

    (a, b), (c, d) = (band(learnt(one), TIMES[NEXT_DAY], 3) for one in (calm, wild))

    assert np.abs(c - a).max() < 6 and np.abs(d - b).max() < 6


def test_what_is_excluded_says_nothing():
    calm = line()
    broken = calm.copy()
    days = slice(5 * DAY_S // PERIOD, 12 * DAY_S // PERIOD)
    broken[days] = 1000
    excluded = [(int(TIMES[days.start]), int(TIMES[days.stop]))]

    without, with_ = learnt(broken, excluded=excluded), learnt(broken)
    lower, upper = band(without, TIMES[NEXT_DAY], 3)

    assert ((calm[NEXT_DAY] >= lower) & (calm[NEXT_DAY] <= upper)).mean() > 0.95
    assert with_.level != without.level


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


@pytest.mark.parametrize("hours", [-11, 12])
def test_free_days_are_those_of_the_zone(hours):
    local = TIMES + hours * 3600
    values = 100 + 60 * season(local) + np.random.default_rng(0).normal(size=len(TIMES))
    free = np.where((local // DAY_S + 3) % 7 >= 5, -80, 0)
    model = learnt(values + free, zone=f"{hours:+03d}:00")

    noon, free_noon = model.centres[13], model.centres[24 + 13]
    assert noon is not None and free_noon is not None
    assert noon - free_noon == pytest.approx(60 * 0.7 + 80, abs=3)


def test_fewer_than_thirty_points_make_no_band():
    values = line()

    assert fit(TIMES[:29], values[:29], PERIOD) is None
    assert fit(TIMES[:30], values[:30], PERIOD) is not None
    assert fit(TIMES[:60], values[:60], PERIOD, Learning(excluded=[(0, int(TIMES[31]))])) is None


def test_two_days_make_a_band_without_seasons():
    values = line()
    days = slice(0, 2 * DAY_S // PERIOD)
    model = fit(TIMES[days], values[days], PERIOD)
    assert model is not None and len(model.centres) == 1

    lower, upper = band(model, TIMES[NEXT_DAY], 3)

    assert len(set(lower)) == len(set(upper)) == 1


def test_one_week_learns_hours_and_two_learn_free_days():
    values = line(noise=1)
    week = slice(0, 7 * DAY_S // PERIOD)
    one, two = fit(TIMES[week], values[week], PERIOD), learnt(values)
    assert one is not None

    assert one.centres[:24] == one.centres[24:]
    noon, free_noon = two.centres[13], two.centres[24 + 13]
    assert noon is not None and free_noon is not None
    assert noon - free_noon == pytest.approx(60 * 0.7, abs=3)


def test_an_hour_that_never_had_a_point_has_no_band():
    open_hours = (TIMES % DAY_S // 3600 >= 8) & (TIMES % DAY_S // 3600 < 18)
    values = line()
    model = fit(TIMES[LEARN][open_hours[LEARN]], values[LEARN][open_hours[LEARN]], PERIOD)
    assert model is not None

    lower, upper = band(model, TIMES[NEXT_DAY], 3)

    assert np.array_equal(np.isnan(lower), ~open_hours[NEXT_DAY])
    assert np.array_equal(np.isnan(upper), ~open_hours[NEXT_DAY])


def test_counts_never_go_below_zero_nor_call_for_a_single_one():
    random = np.random.default_rng(0)
    values = random.poisson(0.05, size=len(TIMES)).astype(float)

    lower, upper = band(learnt(values), TIMES[NEXT_DAY], 3)

    assert lower.min() == 0 and upper.min() > 1 and upper.max() < 3


def test_limits_that_values_cannot_pass_are_kept():
    values = np.clip(0.97 + 0.02 * np.random.default_rng(0).normal(size=len(TIMES)), 0, 1)

    _, upper = band(learnt(values, high=1.0), TIMES[NEXT_DAY], 3)
    lower, _ = band(learnt(values - 2), TIMES[NEXT_DAY], 9)

    assert upper.max() == 1.0
    assert lower.min() < -1


@pytest.mark.parametrize("period", [6 * 3600, DAY_S, 7 * DAY_S])
def test_long_periods_have_bands_on_any_grid(period):
    times = np.arange(START, START + 120 * period, period, dtype=np.int64)
    values = 50 + np.random.default_rng(0).normal(size=len(times))
    model = fit(times, values, period)
    assert model is not None

    for phase in (0, 3600, period // 2):
        lower, upper = band(model, times[-20:] + phase, 3)
        assert np.isfinite(lower).all() and (lower < 50).all() and (upper > 50).all()


def test_working_days_differ_from_free_ones_in_daily_metrics_too():
    times = np.arange(START, START + 90 * DAY_S, DAY_S, dtype=np.int64)
    free = (times // DAY_S + 3) % 7 >= 5
    values = np.where(free, 20.0, 100.0) + np.random.default_rng(0).normal(size=len(times))
    model = fit(times, values, DAY_S)
    assert model is not None

    lower, upper = band(model, times[:7], 3)

    assert list((lower + upper) / 2) == pytest.approx([100] * 5 + [20] * 2, abs=3)


@pytest.mark.parametrize("constant", [0.0, 5.0, -3.5, 1e12])
def test_a_constant_is_its_own_band(constant):
    model = learnt(np.full(len(TIMES), constant))
    lower, upper = band(model, TIMES[NEXT_DAY], 3)

    assert (lower <= constant).all() and (upper >= constant).all()
    assert (upper - lower).max() <= (1.5 if constant == 0 else 1e-8 * abs(constant))


def test_a_model_is_plain_json_and_comes_back_the_same():
    model = learnt(line())

    again = BandModel.from_dict(json.loads(json.dumps(model.as_dict())))

    assert again == model
    assert np.array_equal(band(again, TIMES, 2), band(model, TIMES, 2))


@settings(max_examples=40, deadline=None)
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


@pytest.mark.parametrize("name", ["Mars/Base", "+25:00", "+01:03", "", "../etc/passwd"])
def test_zones_that_do_not_exist_are_refused(name):
    with pytest.raises(AlarmError, match="expected a name such as Europe/Berlin"):
        zone_of(name)
