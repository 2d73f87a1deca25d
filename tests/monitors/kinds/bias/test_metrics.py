"""Bias metrics: equal to smclarify's and to real jobs', with limits that hold what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from driftline.errors import InputError
from driftline.monitors.engine.sums import GROUPS, groups_of
from driftline.monitors.kinds.bias.counts import ABOVE, FacetCounts, count_rows
from driftline.monitors.kinds.bias.metrics import (
    DIVERGENCES,
    GroupMetric,
    divergences,
    measure,
    measure_group,
)
from driftline.monitors.kinds.bias.sums import CELLS, NAMES, interval_ends, shown_reference
from driftline.roles import Facet, Roles
from tests.monitors.kinds.bias.adult import (
    expected,
    people,
)

CASES = {case["id"]: case for case in expected()["cases"] if "TRAP" not in case["id"]}


def counts_of(table: pa.Table, roles: Roles, facet: Facet, rows: int = 5_000) -> FacetCounts:
    """Count rows, in chunks, by group of rows."""
    chunks = pa.Table.from_batches(table.to_batches(max_chunksize=rows))
    return count_rows(chunks, roles, [facet], groups_of(len(table)), GROUPS)[facet]


def case_groups(case: dict, table: pa.Table) -> tuple[FacetCounts, dict[str, Sequence[str]]]:
    """Count one case of the oracle; also return its groups' cells by name."""
    call = case["call"]
    is_age = call["facet"] == "age"
    is_number = case["inferred"]["label_type"] == "CONTINUOUS"
    roles = Roles(
        label=call["label"],
        prediction=call["predicted_label"],
        positive=str(call["label_values_or_threshold"][0]),
        problem="regression" if is_number else "binary",
        group=call["group_variable"],
    )
    facet = Facet(call["facet"], (), 40.0 if is_age else None)
    counts = counts_of(table, roles, facet)
    listed = call["facet_values_or_threshold"]
    return counts, {
        one["value_or_threshold"]: (
            (ABOVE,) if is_age else listed if listed else (one["value_or_threshold"],)
        )
        for one in case["facets"]
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_metric_is_smclarifys(case: dict) -> None:
    counts, cells = case_groups(case, people())

    for one in case["facets"]:
        wanted = {**one["pre_training"], **one["post_training"]}
        wanted.pop("FT")  # It needs rows, not counts.
        pair = counts.pair(cells[one["value_or_threshold"]])
        found = measure_group(pair, stratified=True)
        assert {name: found[name].value for name in wanted} == pytest.approx(wanted, abs=1e-9)
        assert set(found) == set(wanted)


def test_an_age_means_the_same_as_whole_and_as_decimal_number() -> None:
    case = CASES["age_gt_40_float"]
    whole = people()
    place = whole.column_names.index("age")
    decimal = whole.set_column(place, "age", whole["age"].cast(pa.float64()))

    from_whole, _ = case_groups(case, whole)
    from_decimal, _ = case_groups(case, decimal)

    assert (from_whole.by_part == from_decimal.by_part).all()


def test_seven_classes_are_compared_as_smclarify_does() -> None:
    [level] = expected()["function_level"]
    a, d = (np.array(list(level["counts"][side].values()), dtype=float) for side in "ad")

    found = divergences(a / a.sum(), d / d.sum())

    assert found == pytest.approx(level["metrics"], abs=1e-12)


def pair_of(a: tuple[int, ...], d: tuple[int, ...]) -> np.ndarray:
    """Two groups as (TP, FP, FN, TN), all in one stratum."""
    counts = np.zeros((2, 2, 3, 3), np.int64)
    for side, (tp, fp, fn, tn) in enumerate((a, d)):
        counts[side, 0, :2, :2] = [[tn, fp], [fn, tp]]
    return counts


def parts_of(pair: np.ndarray) -> np.ndarray:
    """Return the rows of a pair by group of rows, in which the engine puts them."""
    cell = np.repeat(np.arange(pair.size), pair.ravel())
    index = np.random.default_rng(0).permutation(groups_of(len(cell))) * pair.size + cell
    found = np.bincount(index, minlength=GROUPS * pair.size).reshape(GROUPS, *pair.shape)
    return found.astype(float)


def limits_of(pair: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the intervals of a window that has no reference; NaN where they are open."""
    sums = parts_of(pair.sum(axis=1)).reshape(GROUPS, CELLS)
    ends = interval_ends(shown_reference(sums, is_window=True), sums)
    return dict(zip(NAMES, ends.tolist(), strict=True))


# What is told where smclarify 0.5 divides by nothing.
UNDEFINED = {
    "nobody is predicted positive": (
        (0, 0, 30, 70), (0, 0, 20, 80),
        {"DPPL": 0.0, "DI": "no_predicted_positives", "DAR": "no_predicted_positives",
         "DCA": "no_predicted_positives", "TE": "no_false_positives"},
    ),
    "the group is never predicted positive": (
        (20, 10, 10, 60), (0, 0, 20, 80),
        {"DI": 0.0, "DCA": "no_predicted_positives", "TE": "no_false_positives",
         "DAR": "no_predicted_positives"},
    ),
    "the others are never predicted positive": (
        (0, 0, 20, 80), (20, 10, 10, 60),
        {"DI": math.inf, "DCA": "no_predicted_positives", "TE": "no_false_positives"},
    ),
    "no observed positives in the group": (
        (25, 25, 25, 25), (0, 50, 0, 50),
        {"RD": "no_observed_positives", "KL": math.inf, "JS": 0.21576, "TVD": 0.5, "LP": 0.70711},
    ),
    "no false positives in either": (
        (20, 0, 10, 70), (10, 0, 20, 70), {"TE": "no_false_positives"},
    ),
    "all are false negatives": (
        (0, 0, 50, 0), (0, 0, 50, 0), {"GE": "all_false_negatives"},
    ),
    "the group is empty": (
        (20, 10, 10, 60), (0, 0, 0, 0), {"CI": "no_rows_in_group", "DPL": "no_rows_in_group"},
    ),
    "the group is everybody": (
        (0, 0, 0, 0), (20, 10, 10, 60), {"CI": "no_rows_outside_group"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_not_defined_is_said_to_be_so(name: str) -> None:
    a, d, wanted_values = UNDEFINED[name]
    pair = pair_of(a, d)

    plain = measure_group(pair, stratified=True)

    for metric, wanted in wanted_values.items():
        if isinstance(wanted, str):
            assert plain[metric] == GroupMetric(None, wanted)
        else:
            assert plain[metric].value == pytest.approx(wanted, abs=1e-5)


def test_a_missing_answer_is_left_out() -> None:
    table = pa.table(
        {
            "who": ["a", "a", "a", "d", "d", "d", None],
            "truth": [1, 0, None, 1, 0, None, 1],
            "answer": [1, 0, 1, 1, None, 0, 1],
        }
    )
    roles = Roles(label="truth", prediction="answer", positive="1", problem="binary")
    counts = counts_of(table, roles, Facet("who"))

    plain = measure_group(counts.pair(["d"]))

    assert counts.sizes.tolist() == [3, 3, 1]
    assert plain["DPPL"].value == pytest.approx(2 / 3 - 1 / 2)
    assert plain["DPL"].value == pytest.approx(0.0)


@pytest.mark.parametrize("rows", [1, 7, 333])
def test_counts_do_not_depend_on_the_batches(rows: int) -> None:
    roles = Roles(label="income", prediction="predicted", positive="1", group="education")
    table = people().slice(0, 2_000)

    parts = counts_of(table, roles, Facet("race"), rows)

    once = counts_of(table, roles, Facet("race"), 2_000)
    assert parts.values == once.values
    assert (parts.by_part == once.by_part).all()
    assert (parts.by_stratum == once.by_stratum).all()
    assert (once.pairs(["White"]).sum(axis=0) == once.pair(["White"]).sum(axis=1)).all()
    assert once.answered.sum() == 2_000


@given(hnp.arrays(np.int64, (3, 2, 3, 3, 3), elements=st.integers(0, 9)))
def test_an_array_of_counts_is_measured_as_each_of_them(counts: np.ndarray) -> None:
    whole = measure(counts, stratified=True)

    for at, one in enumerate(counts):
        for name, alone in measure(one, stratified=True).items():
            assert whole[name][at] == pytest.approx(float(alone), nan_ok=True, abs=1e-12)


def test_distances_of_equal_groups_hold_zero_as_often_as_they_say() -> None:
    rng, rows = np.random.default_rng(3), 300
    drawn = [
        pair_of(*((0, 0, int(one), rows - int(one)) for one in rng.binomial(rows, 0.2, 2)))
        for _ in range(300)
    ]

    limits = [limits_of(pair) for pair in drawn]

    for name in DIVERGENCES:
        # 95% of 300 lie between 0.91 and 0.985 but for one run in a thousand.
        held = np.mean([one[name][0] == 0.0 for one in limits])
        assert 0.91 <= held <= 0.99, name


def test_limits_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    shares = {"a": [0.15, 0.08, 0.1, 0.67], "d": [0.1, 0.1, 0.12, 0.68]}
    # GE is of all rows: as many of each group as will be drawn.
    exact = pair_of((1500, 800, 1000, 6700), (1000, 1000, 1200, 6800))
    names = ("DPPL", "DI", "RD", "SD", "DCA", "DCR", "TE", "GE")
    truth = {name: float(measure(exact)[name]) for name in names}

    limits = [
        limits_of(pair_of(*(tuple(rng.multinomial(1_000, shares[side])) for side in "ad")))
        for _ in range(300)
    ]

    for name in names:
        # 95% of 300 lie between 0.91 and 0.985 but for one run in a thousand.
        held = np.mean([low <= truth[name] <= high for low, high in (one[name] for one in limits)])
        assert 0.91 <= held <= 0.99, name


def test_standard_errors_on_adult_are_those_of_the_bootstrap() -> None:
    # Multinomial bootstrap of the same counts, run elsewhere with 2,000 replicates.
    wanted = {"DPPL": 0.00552, "DI": 0.0156, "RD": 0.0223, "DCA": 0.0563, "TE": 0.304, "GE": 0.0017}
    counts, groups = case_groups(CASES["sex_female"], people())
    [cells] = groups.values()
    sums = counts.pairs(cells).reshape(GROUPS, CELLS).astype(float)

    limits = dict(zip(NAMES, interval_ends(shown_reference(sums), sums), strict=True))

    for name, error in wanted.items():
        low, high = limits[name]
        # A variance of 128 groups is known to an eighth.
        assert (high - low) / 2 / 1.96 == pytest.approx(error, rel=0.2)


tables = hnp.arrays(np.int64, (2, 3, 3, 3), elements=st.integers(0, 40))


@given(tables)
def test_any_counts_give_values_within_their_limits_and_ranges(counts: np.ndarray) -> None:
    ranges = {"CI": 1, "DPL": 1, "DPPL": 1, "AD": 1, "RD": 1, "SD": 1, "DAR": 1, "DRR": 1}
    ranges |= {"CDDL": 1, "CDDPL": 1, "TVD": 1, "KS": 1, "JS": math.log(2), "LP": math.sqrt(2)}
    limits = limits_of(counts)

    for name, one in measure_group(counts, stratified=True).items():
        assert (one.value is None) == bool(one.reason)
        if one.value is None:
            continue
        assert not math.isnan(one.value)
        assert abs(one.value) <= ranges.get(name, math.inf) + 1e-12
        low, high = limits.get(name, (math.nan, math.nan))
        if not math.isnan(low):
            assert low <= one.value + 1e-9
            assert one.value - 1e-9 <= high


@pytest.mark.parametrize(("column", "most"), [("who", "10,000"), ("part", "1,000")])
def test_an_identifier_is_no_group_and_no_stratum(column: str, most: str) -> None:
    names = [f"n{at}" for at in range(10_001)]
    table = pa.table({"who": ["a"] * 10_001, "part": ["b"] * 10_001, "said": [1] * 10_001})
    table = table.set_column(table.column_names.index(column), column, pa.array(names))

    with pytest.raises(InputError, match=f'"{column}" has more than {most} values'):
        counts_of(table, Roles(prediction="said", positive="1", group="part"), Facet("who"))
