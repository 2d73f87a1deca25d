"""The public face: which columns it takes, what it says of them, and other packages' distances."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

import driftline as dl
from driftline.baseline.profile import Profile
from driftline.errors import InputError, UndecidedError
from driftline.stats.distances import catalog
from tests.plugged import plugged_in

NUMBERS = np.random.default_rng(1).normal(50, 8, 3_000).round(2)
MOVED = np.random.default_rng(2).normal(53, 8, 1_000).round(2)
TEXTS = ["UA"] * 50 + ["AA"] * 30 + ["B6"] * 20


@pytest.mark.parametrize(
    "make",
    [list, pd.Series, pl.Series, pa.array, lambda found: pa.chunked_array([found[:9], found[9:]])],
    ids=["list", "pandas", "polars", "arrow", "chunked"],
)
def test_every_form_of_a_column_gives_the_same(make) -> None:
    for name, values, others in (
        ("kolmogorov_smirnov", NUMBERS, MOVED),
        ("js_distance", TEXTS, TEXTS[:70]),
    ):
        assert dl.distance(name, make(values), make(others)) == dl.distance(name, values, others)


def test_levels_are_compared_one_by_one_as_scipy_does() -> None:
    expected = jensenshannon([0.5, 0.3, 0.2], [50 / 70, 20 / 70, 0], base=2)

    assert dl.distance("js_distance", TEXTS, TEXTS[:70]).value == pytest.approx(expected)
    assert dl.distance("total_variation", TEXTS, TEXTS[:70]).value == pytest.approx(50 / 70 - 0.5)
    assert dl.distance("l_infinity", [True, False], [True, True]).value == 0.5


def profiles(*parts: object) -> list:
    return [dl.profile(pa.table({"x": part})) for part in parts]


@pytest.mark.parametrize("values", [np.random.default_rng(1).poisson(4, 3_000), TEXTS * 30])
def test_profiles_of_few_values_and_of_merged_parts_give_what_the_rows_give(values) -> None:
    whole, other = pa.array(values), pa.array(values[:900])
    merged = Profile.merged(profiles(whole[:700], whole[700:1_500], whole[1_500:]))
    (window,) = profiles(other)

    found = dl.distances(merged.columns["x"], window.columns["x"])

    rows = dl.distances(whole, other)
    assert found.keys() == rows.keys()
    for name in found:
        assert found[name] == rows[name], name


def test_sketches_are_within_the_error_that_they_state() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=60_000), rng.normal(0.1, 1, 60_000)
    parts = Profile.merged(profiles(*np.split(first, 12)))
    (window,) = profiles(second)
    sides = parts.columns["x"], window.columns["x"]

    found, rows = (dl.distances(*one) for one in (sides, (first, second)))

    error = float(found["kolmogorov_smirnov"].note.split("up to ")[1].split()[0])
    assert 0 < error < 0.02
    truth = rows["kolmogorov_smirnov"]
    assert found["kolmogorov_smirnov"].value == pytest.approx(truth.value, abs=error)
    for name in ("wasserstein", "wasserstein_raw"):
        assert found[name].value == pytest.approx(rows[name].value, abs=0.02)
    assert found["psi"].value == pytest.approx(rows["psi"].value, abs=0.005)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.full(40, 3.0), np.full(30, 3.0)),
        ([1.0], [2.0]),
        ([1.0], NUMBERS),
        (NUMBERS, [51.0]),
        (np.full(40, 3.0), NUMBERS),
        (["a"] * 40, ["a"] * 30),
        (["a"] * 40, ["b"] * 30),
        ([np.inf, 1.0, 2.0], [-np.inf, 1.0, 2.0]),
        ([1e300, -1e300], [1e-300, 0.0]),
    ],
    ids=["constant", "rows", "row", "one", "spread", "level", "new", "infinite", "far"],
)
def test_edges_give_finite_numbers_or_a_reason(first, second) -> None:
    measured = dl.distances(first, second)
    assert measured
    for name, found in measured.items():
        text = json.dumps(found.to_dict(), allow_nan=False)
        assert found.value is not None or found.note, text
        assert found.value is None or found.value >= 0.0, name
    same = dl.distances(first, first)
    names = same.keys() - {"missing"}
    assert names
    for name in names:
        assert same[name].value in (None, pytest.approx(0.0, abs=1e-12)), name


@pytest.mark.parametrize(
    ("name", "first", "second", "sentence"),
    [
        ("wassertein", [1.0], [1.0], 'no such distance (did you mean "wasserstein"?)'),
        ("wasserstein", ["a"], ["b"], "measures numbers, and the columns hold levels"),
        ("unseen", [1.0], [2.0], "measures levels, and the columns hold numbers"),
        ("psi", [1.0], ["a"], "reference holds numbers and the window texts or truth values"),
        ("psi", np.ones((2, 2)), [1.0], "ndarray of shape (2, 2) is not one column"),
        ("psi", [1.0], pd.DataFrame({"a": [1]}), "window: DataFrame of shape (1, 1) is not one"),
        ("psi", [1.0], "abc", "window: str is not one column"),
        ("psi", [1.0], [1, "a"], "window: list is not one column"),
        ("psi", [[1.0]], [[1.0]], "reference: values of type list<item: double> have no distance"),
        ("psi", pd.to_datetime(["2020-01-01"]), [1.0], "values of type timestamp["),
        ("wasserstein_raw", [-1e308], [1e308], "does not exist here: the values lie too far"),
    ],
)
def test_a_wrong_question_is_answered_in_one_sentence(name, first, second, sentence) -> None:
    with pytest.raises((InputError, UndecidedError)) as raised:
        dl.distance(name, first, second)

    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


MODULE = """
from driftline import Distance
from driftline.errors import UndecidedError

def medians(reference, window):
    return abs(reference.numbers.values.mean() - window.numbers.values.mean())

def whole(reference, window):
    return Distance("acme_whole", 1.0, "sd", note="ours")

def shy(reference, window):
    raise UndecidedError("too few")

def broken(reference, window):
    raise RuntimeError("no luck")

def endless(reference, window):
    return float("nan")

def empty(reference, window):
    return Distance("acme_empty", float("nan"), "sd")

nothing = 3
"""
NAMES = ("medians", "whole", "shy", "broken", "endless", "empty", "nothing", "gone")


@pytest.fixture(autouse=True, scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An installed package with entry points, as pip leaves it."""
    place = tmp_path_factory.mktemp("site")
    points = "".join(f"acme_{name} = acme_distances:{name}\n" for name in NAMES)
    with plugged_in(place, "acme_distances", MODULE, f"[driftline.distances]\n{points}"):
        yield


def test_other_packages_add_distances_by_name() -> None:
    assert {f"acme_{name}" for name in NAMES} <= set(catalog.plugged_in())
    assert dl.distance("acme_medians", [1.0, 3.0], [5.0]).value == 3.0
    assert dl.distance("acme_whole", ["a"], ["b"]).note == "ours"
    with pytest.raises(UndecidedError, match="too few"):
        dl.distance("acme_shy", [1.0], [1.0])


def test_chi_squared_is_the_plain_formula_of_scipy_also_of_rare_values() -> None:
    first, second = list("aaaaaaabbbc"), list("aaabbd")
    table = [[7, 3, 1, 0], [3, 2, 0, 1]]

    found = dl.distance("chi_squared", first, second)

    wanted = chi2_contingency(table, correction=False).statistic
    assert found.value == pytest.approx(wanted, rel=1e-12)
