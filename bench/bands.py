"""How well bands hold on simulated seasons: points covered, false alarms a month, bursts found.

``python bench/bands.py`` prints Markdown: two weeks of history, then four weeks in which the
model is fitted anew each day, for metrics of several kinds. An alarm is three breaching periods in
a row. Beside it stand two simpler bands on the same numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from driftline.alerts.math.band import Learning, band, fit

Values = NDArray[np.float64]
Limits = tuple[Values, Values]
Band = Callable[[NDArray[np.int64], Values, NDArray[np.int64], int], Limits]

DAY_S = 86_400
LEARN_D, WATCH_D = 14, 28
IN_A_ROW = 3
START = 1_704_067_200  # Monday, 1 January 2024.


def season(times: NDArray[np.int64]) -> Values:
    """Return working days with a hump at noon, and flat free days: from 0 to 1."""
    hours = times % DAY_S / 3600
    free = (times // DAY_S + 3) % 7 >= 5
    hump = np.exp(-((hours - 13) ** 2) / 18)
    return np.where(free, 0.3 * hump, hump)


def kinds(times: NDArray[np.int64], random: np.random.Generator) -> dict[str, Values]:
    """Make one metric of each kind on these times."""
    count, usual = len(times), season(times)
    noise = random.normal(size=count)
    days = (times - START) // DAY_S
    day_noise = random.normal(size=int(days[-1]) + 1)[days]
    smooth = np.empty(count)
    last = 0.0
    for index in range(count):
        last = 0.7 * last + noise[index] * np.sqrt(1 - 0.49)
        smooth[index] = last
    return {
        "flat, normal noise": 100 + 5 * noise,
        "seasons, normal noise": 100 + 60 * usual + 5 * noise,
        "seasons, noise grows with the level": (20 + 100 * usual) * np.exp(0.15 * noise),
        "seasons, neighbours alike (0.7)": 100 + 60 * usual + 5 * smooth,
        "seasons, days differ": 100 + 60 * usual + 4 * noise + 4 * day_noise,
        "seasons and growth (3% a day)": (100 + 60 * usual) * (1 + 0.03 * days) + 5 * noise,
        "latency (log-normal)": np.exp(3 + 0.5 * usual + 0.5 * noise),
        "heavy tails (Student t, 3)": 100 + 60 * usual + 4 * random.standard_t(3, size=count),
        "requests (Poisson, 2 to 42)": random.poisson(2 + 40 * usual).astype(float),
        "rare errors (Poisson, 0.05)": random.poisson(0.05, size=count).astype(float),
    }


def ours(times: NDArray[np.int64], values: Values, asked: NDArray[np.int64], period: int) -> Limits:
    """Return the band of driftline.alerts.math.band, three deviations wide."""
    model = fit(times, values, period, Learning())
    assert model is not None
    return band(model, asked, 3.0)


def static(times: NDArray[np.int64], values: Values, asked: NDArray[np.int64], _: int) -> Limits:
    """Return mean and standard deviation of the history."""
    middle, wide = values.mean(), 3 * values.std()
    return np.full(len(asked), middle - wide), np.full(len(asked), middle + wide)


def slots(times: NDArray[np.int64], values: Values, asked: NDArray[np.int64], _: int) -> Limits:
    """Return median and MAD of each hour of working and free days, and nothing else."""

    def slot(some: NDArray[np.int64]) -> NDArray[np.int64]:
        free = (some // DAY_S + 3) % 7 >= 5
        found: NDArray[np.int64] = some % DAY_S // 3600 + 24 * free
        return found

    of = slot(times)
    middle, wide = np.zeros(48), np.zeros(48)
    for one in np.unique(of):
        inside = values[of == one]
        middle[one] = np.median(inside)
        wide[one] = 3 * 1.4826 * np.median(np.abs(inside - middle[one]))
    wanted = slot(asked)
    return middle[wanted] - wide[wanted], middle[wanted] + wide[wanted]


def watch(values: Values, times: NDArray[np.int64], period: int, of: Band) -> tuple[Values, Values]:
    """Return the limits of the weeks that are watched, the model fitted anew each day."""
    a_day = DAY_S // period
    lower, upper = [], []
    for day in range(LEARN_D, LEARN_D + WATCH_D):
        known, asked = slice((day - LEARN_D) * a_day, day * a_day), slice(day * a_day, None)
        found = of(times[known], values[known], times[asked][:a_day], period)
        lower.append(found[0])
        upper.append(found[1])
    return np.concatenate(lower), np.concatenate(upper)


def alarms(outside: NDArray[np.bool_]) -> int:
    """Count the runs of three or more."""
    run, found = 0, 0
    for one in outside.tolist():
        run = run + 1 if one else 0
        found += run == IN_A_ROW
    return found


def bursts(
    values: Values, limits: Limits, spread: float, random: np.random.Generator
) -> tuple[int, int]:
    """Add six deviations for three periods at a hundred places; count those that are found."""
    found, tried = 0, 100
    if np.array_equal(values, np.rint(values)):
        # Things that are counted come in whole ones, and a burst is more than one.
        spread = max(spread, 0.5)
    for place in random.integers(0, len(values) - IN_A_ROW, size=tried).tolist():
        part = slice(place, place + IN_A_ROW)
        found += bool((values[part] + 6 * spread > limits[1][part]).all())
    return found, tried


def main(periods: tuple[int, ...] = (300, 3600), seeds: int = 3) -> str:
    """Measure, and give the page."""
    lines = [
        "# Bands on simulated seasons",
        "",
        "Three deviations wide; alarms are three periods in a row, in 28 days; bursts are six of "
        "the metric's own deviations for three periods, upwards. Means of "
        f"{seeds} runs. `python bench/bands.py`",
        "",
        "| metric | period | band | inside | false alarms a month | bursts found |",
        "|---|---|---|---|---|---|",
    ]
    bands: dict[str, Band] = {"driftline": ours, "hour slots, MAD": slots, "mean, 3 sigma": static}
    for period in periods:
        times = np.arange(START, START + (LEARN_D + WATCH_D) * DAY_S, period, dtype=np.int64)
        watched = slice(LEARN_D * DAY_S // period, None)
        sums: dict[tuple[str, str], Values] = {}
        for seed in range(seeds):
            random = np.random.default_rng(seed)
            for kind, values in kinds(times, random).items():
                spread = float(np.std(np.diff(values)) / np.sqrt(2))
                for name, of in bands.items():
                    lower, upper = watch(values, times, period, of)
                    seen = values[watched]
                    outside = (seen < lower) | (seen > upper)
                    hits, tried = bursts(seen, (lower, upper), spread, random)
                    row = np.array([1 - outside.mean(), alarms(outside), hits / tried])
                    sums[kind, name] = sums.get((kind, name), np.zeros(3)) + row / seeds
        lines += [
            f"| {kind} | {period} s | {name} | {100 * row[0]:.2f}% | {row[1]:.1f} "
            f"| {100 * row[2]:.0f}% |"
            for (kind, name), row in sums.items()
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(main())
