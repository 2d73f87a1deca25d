"""The search for the slice that holds the matching rows, on planted ones, by plain counting."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from driftline.monitors.root_cause.slices import best_slice, slice_columns

LEVELS = {"origin": ["EWR", "JFK", "LGA"], "carrier": ["UA", "B6", "DL", "AA", "MQ"]}


def flights(rng: np.random.Generator, rows: int) -> pa.Table:
    """Independent texts and numbers."""
    return pa.table(
        {
            **{name: rng.choice(levels, rows) for name, levels in LEVELS.items()},
            "distance": rng.integers(100, 3000, rows).astype(float),
            "hour": rng.integers(5, 24, rows),
        }
    )


def guilt(rng: np.random.Generator, inside: np.ndarray, *, background: float, rate: float):
    """Mark rows: so many of all, and so many more inside."""
    return (rng.random(inside.size) < background) | (inside & (rng.random(inside.size) < rate))


def found_in(rows: pa.Table, matching: np.ndarray, expected: float):
    columns = slice_columns(rows, ["origin", "carrier"], ["distance", "hour"])
    return best_slice(columns, matching, expected)


@pytest.mark.parametrize("seed", range(10))
def test_a_planted_pair_is_found_with_the_counts_that_plain_counting_gives(seed):
    rng = np.random.default_rng(seed)
    rows = flights(rng, 5_000)
    carrier, origin = (np.array(rows[name].to_pylist()) for name in ("carrier", "origin"))
    inside = (carrier == "UA") & (origin == "EWR")
    matching = guilt(rng, inside, background=0.02, rate=0.8)

    found = found_in(rows, matching, 0.02)

    assert found is not None
    assert [str(one) for one in found.conditions] == ['carrier = "UA"', 'origin = "EWR"']
    assert found.row_count == inside.sum()
    assert found.matching_count == (inside & matching).sum()
    expected = (found.matching_count - 0.02 * inside.sum()) / (
        matching.sum() - 0.02 * matching.size
    )
    assert found.share_of_excess == pytest.approx(min(expected, 1.0), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_one_condition_is_not_made_two_by_noise(seed):
    rng = np.random.default_rng(seed)
    rows = flights(rng, 3_000)
    inside = np.array(rows["origin"].to_pylist()) == "JFK"

    found = found_in(rows, guilt(rng, inside, background=0.02, rate=0.5), 0.02)

    assert found is not None
    assert [str(one) for one in found.conditions] == ['origin = "JFK"']


@pytest.mark.parametrize("seed", range(5))
def test_a_number_is_cut_where_the_guilty_rows_begin(seed):
    rng = np.random.default_rng(seed)
    rows = flights(rng, 4_000)
    edge = np.quantile(rows["distance"].to_numpy(), 0.75, method="inverted_cdf")
    inside = rows["distance"].to_numpy() >= edge

    found = found_in(rows, guilt(rng, inside, background=0.01, rate=0.6), 0.01)

    assert found is not None
    (one,) = found.conditions
    assert (one.column, one.op, one.value) == ("distance", "ge", edge)
    assert found.row_count == inside.sum()


def test_two_edges_of_one_number_are_a_range():
    rng = np.random.default_rng(3)
    rows = flights(rng, 8_000)
    low, high = np.quantile(rows["distance"].to_numpy(), [0.375, 0.625], method="inverted_cdf")
    values = rows["distance"].to_numpy()

    found = found_in(rows, guilt(rng, (values >= low) & (values < high), background=0, rate=1), 0)

    assert found is not None
    assert {(one.op, one.value) for one in found.conditions} == {("ge", low), ("lt", high)}
    assert (found.share_of_matching, found.share_of_excess) == (1.0, 1.0)


def test_a_text_wins_over_a_number_that_follows_from_it():
    rng = np.random.default_rng(4)
    rows = flights(rng, 4_000)
    inside = np.array(rows["origin"].to_pylist()) == "LGA"
    shifted = rows["distance"].to_numpy() + 5_000.0 * inside
    rows = rows.set_column(2, "distance", pa.array(shifted))

    found = found_in(rows, guilt(rng, inside, background=0.0, rate=1.0), 0.0)

    assert found is not None
    assert [str(one) for one in found.conditions] == ['origin = "LGA"']


def test_guilty_rows_that_sit_nowhere_are_in_no_slice():
    """Chance of one false slice in these 200: 200 x 0.001 by its own bound, in truth far less."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(200):
        rows = flights(rng, 400)
        found.append(found_in(rows, rng.random(400) < 0.1, 0.0))
    assert sum(one is not None for one in found) <= 2


def test_the_column_at_fault_and_small_slices_are_left_out():
    rows = pa.table({"a": ["x"] * 31 + ["y"] * 400, "b": ["x"] * 31 + ["y"] * 400})
    matching = np.arange(431) < 31

    assert best_slice(slice_columns(rows, ["a", "b"]), matching, 0.0) is None
    rows = pa.table({"a": ["x"] * 40 + ["y"] * 400, "b": ["x"] * 40 + ["y"] * 400})
    matching = np.arange(440) < 40
    found = best_slice(slice_columns(rows, ["a", "b"]), matching, 0.0, leave_out=["a"])
    assert found is not None
    assert [str(one) for one in found.conditions] == ['b = "x"']


@settings(max_examples=30)
@given(st.data())
def test_the_best_of_all_slices_is_found(data):
    """Against trying every slice of texts, one by one, by the measure in the module's text."""
    count = 200
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    rows = pa.table({name: rng.choice(levels[:3], count) for name, levels in LEVELS.items()})
    matching = rng.random(count) < 0.1
    matching |= (np.array(rows["carrier"].to_pylist()) == "UA") & (rng.random(count) < 0.7)

    found = best_slice(slice_columns(rows, list(LEVELS)), matching, 0.05)

    allowed = dict(gains(rows, matching, 0.05))
    if found is not None:
        assert found.gain == pytest.approx(allowed[tuple(map(str, found.conditions))])
        ones = [gain for words, gain in allowed.items() if len(words) == 1]
        twos = [gain for words, gain in allowed.items() if len(words) == 2]
        best = max(ones, default=-1.0)
        above = [gain for gain in twos if gain >= best + 0.05]
        assert found.gain == pytest.approx(max(above, default=best))


def gains(rows: pa.Table, matching: np.ndarray, expected: float):
    """The measure of every slice that may be named, each by marking its rows; scipy's entropy."""
    masks = {
        f'{name} = "{level}"': np.array(rows[name].to_pylist()) == level
        for name, levels in sorted(LEVELS.items())
        for level in levels[:3]
    }
    needed = np.log((8 + 4 * 4) / 1e-3)  # Four places a column: three levels, and none.
    whole = matching.sum() - expected * matching.size

    def is_news(inside: np.ndarray, among: np.ndarray) -> bool:
        held = (inside & matching).sum() / (among & matching).sum()
        size = inside.sum() / among.sum()
        return (among & matching).sum() * entropy([held, 1 - held], [size, 1 - size]) >= needed

    all_counts = np.ones(matching.size, bool)
    both = itertools.combinations(masks, 2)
    for words in (*((one,) for one in masks), *both):
        mask = np.logical_and.reduce([masks[one] for one in words])
        share, size = (mask & matching).sum() / matching.sum(), mask.mean()
        held = ((mask & matching).sum() - expected * mask.sum()) / whole
        if mask.sum() < 32 or held < 0.5 or share < 1.3 * size or not is_news(mask, all_counts):
            continue
        if len(words) == 1 or all(is_news(mask, masks[one]) for one in words):
            yield words, min(held, 1.0) - size


def test_nothing_to_look_at_gives_nothing():
    empty = pa.table({"a": pa.array([], pa.string())})
    assert best_slice(slice_columns(empty, ["a"]), np.zeros(0, bool), 0.0) is None
    constant = pa.table({"a": ["x"] * 50, "b": [None] * 50, "c": [1.0] * 50})
    assert slice_columns(constant, ["a", "b"], ["c"]) == []


def test_a_pair_is_found_among_twenty_columns_of_a_hundred_thousand_rows():
    rng = np.random.default_rng(6)
    texts = {f"t{i}": rng.choice([f"v{j}" for j in range(8)], 100_000) for i in range(10)}
    numbers = {f"n{i}": rng.normal(size=100_000) for i in range(10)}
    rows = pa.table({**texts, **numbers})
    inside = (texts["t3"] == "v1") & (texts["t7"] == "v2")
    matching = inside | (rng.random(100_000) < 0.001)

    found = best_slice(slice_columns(rows, list(texts), list(numbers)), matching, 0.001)

    assert found is not None
    assert [str(one) for one in found.conditions] == ['t3 = "v1"', 't7 = "v2"']
