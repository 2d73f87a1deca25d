"""Bias metrics: equal to smclarify's and to real jobs', with limits that hold what they say."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from driftline.monitors.kinds.bias.facet_counts import ABOVE, Tally, count_batches
from driftline.monitors.kinds.bias.intervals import interval
from driftline.monitors.kinds.bias.metrics import (
    MISSING,
    POST_TRAINING,
    PRE_TRAINING,
    Measured,
    Pair,
    divergences,
    measure,
)
from driftline.roles import Facet, Roles
from tests.monitors.kinds.bias.adult import (
    FIXTURES,
    aws_metrics,
    aws_validation,
    aws_window,
    expected,
    people,
)

CASES = {case["id"]: case for case in expected()["cases"] if "TRAP" not in case["id"]}
FEMALE = Roles(label="income", prediction="predicted", positive="1", problem="binary")


def tally_of(table: pa.Table, roles: Roles, facet: Facet, rows: int = 5_000) -> Tally:
    found, _ = count_batches(table.to_batches(max_chunksize=rows), roles, [facet])
    return found[facet]


def case_pairs(case: dict, table: pa.Table) -> dict[str, Pair]:
    """Count one case of the oracle: by the group's name, its rows and the others."""
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
    tally = tally_of(table, roles, facet)
    listed = call["facet_values_or_threshold"]
    return {
        one["value_or_threshold"]: Pair.of(
            tally.pair((ABOVE,) if is_age else listed if listed else (one["value_or_threshold"],))
        )
        for one in case["facets"]
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_metric_is_smclarifys(case: dict) -> None:
    pairs = case_pairs(case, people())

    for one in case["facets"]:
        wanted = {**one["pre_training"], **one["post_training"]}
        wanted.pop("FT")  # It needs rows, not counts.
        found = measure(pairs[one["value_or_threshold"]], stratified=True)
        assert {name: found[name].value for name in wanted} == pytest.approx(wanted, abs=1e-9)
        assert set(found) == set(wanted)


def test_an_age_means_the_same_as_whole_and_as_decimal_number() -> None:
    case = CASES["age_gt_40_float"]
    whole = people()
    place = whole.column_names.index("age")
    decimal = whole.set_column(place, "age", whole["age"].cast(pa.float64()))

    [from_whole] = case_pairs(case, whole).values()
    [from_decimal] = case_pairs(case, decimal).values()

    assert (from_whole.counts == from_decimal.counts).all()


def test_seven_classes_are_compared_as_smclarify_does() -> None:
    [level] = expected()["function_level"]
    a, d = (np.array(list(level["counts"][side].values()), dtype=float) for side in "ad")

    found = divergences(a / a.sum(), d / d.sum())

    assert found == pytest.approx(level["metrics"], abs=1e-12)


def test_the_labels_of_a_real_job_give_its_eight_values() -> None:
    roles = Roles(label="Target", positive="1", problem="binary", group="Age")
    tally = tally_of(aws_validation(), roles, Facet("Sex"))

    found = measure(Pair.of(tally.pair(["0"])), stratified=True)

    wanted = aws_metrics("pre_training_bias_metrics")
    assert len(wanted) == 8
    assert {name: found[name].value for name in wanted} == pytest.approx(wanted, abs=1e-12)


def test_the_values_of_a_real_run_are_clarifys() -> None:
    roles = Roles(
        label="Target", prediction="predicted", positive="1", problem="binary", group="Age"
    )
    counts = tally_of(aws_window(), roles, Facet("Sex")).pair(["0"])
    counts[:, :, 0] += counts[:, :, MISSING]  # Clarify takes a missing label as a negative one.
    counts[:, :, MISSING] = 0
    found = measure(Pair.of(counts), stratified=True)
    run = json.loads((FIXTURES / "aws-violations.json").read_text())["violations"]
    told = {
        one["metric_name"]: float(one["description"].split()[2]) for one in run
        if one["metric_name"] != "FT"
    }  # fmt: skip

    assert told.pop("TE") == math.inf  # Clarify's division by nothing.
    assert found["TE"] == Measured(None, "no_false_positives")
    assert len(told) == 7
    assert {name: found[name].value for name in told} == pytest.approx(told, abs=1e-12)


def pair_of(a: tuple[int, ...], d: tuple[int, ...]) -> Pair:
    """Two groups as (TP, FP, FN, TN), all in one stratum."""
    counts = np.zeros((2, 2, 3, 3), np.int64)
    for side, (tp, fp, fn, tn) in enumerate((a, d)):
        counts[side, 0, :2, :2] = [[tn, fp], [fn, tp]]
    return Pair.of(counts)


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

    plain = measure(pair, stratified=True)

    for metric, wanted in wanted_values.items():
        if isinstance(wanted, str):
            assert plain[metric] == Measured(None, wanted)
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
    tally = tally_of(table, roles, Facet("who"))

    plain = measure(Pair.of(tally.pair(["d"])))

    assert tally.missing_count == 1
    assert plain["DPPL"].value == pytest.approx(2 / 3 - 1 / 2)
    assert plain["DPL"].value == pytest.approx(0.0)


def test_without_labels_only_what_needs_none_has_a_value() -> None:
    table = people().drop_columns(["income"])

    found = measure(Pair.of(tally_of(table, FEMALE, Facet("sex")).pair(["Female"])))

    assert {name for name, one in found.items() if one.value is not None} == {"CI", "DPPL", "DI"}
    assert {one.reason for one in found.values() if one.value is None} == {"no_labels"}
    assert set(found) == {*PRE_TRAINING, *POST_TRAINING} - {"CDDL", "CDDPL", "FT"}


@pytest.mark.parametrize("seed", range(5))
def test_counts_of_parts_add_up_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    roles = Roles(label="income", prediction="predicted", positive="1", group="education")
    whole = people().slice(0, 4_000)
    shuffled = whole.take(rng.permutation(4_000))
    ends = np.sort(rng.integers(0, 4_001, 9))
    parts = [
        tally_of(shuffled.slice(first, last - first), roles, Facet("race"))
        for first, last in zip([0, *ends], [*ends, 4_000], strict=True)
    ]

    total = Tally.empty()
    for place in rng.permutation(len(parts)):
        total += parts[place]

    once = tally_of(whole, roles, Facet("race"))
    assert (total.values, total.strata) == (once.values, once.strata)
    assert (total.counts == once.counts).all()


@pytest.mark.full
@pytest.mark.parametrize(
    "rows", [300, *(pytest.param(rows, marks=pytest.mark.full) for rows in (40, 3_000))]
)
def test_divergences_of_equal_groups_hold_zero_as_often_as_they_say(rows: int) -> None:
    rng = np.random.default_rng(rows)
    drawn = [
        pair_of(*((0, 0, int(one), rows - int(one)) for one in rng.binomial(rows, 0.2, 2)))
        for _ in range(600)
    ]

    for name in ("JS", "KL", "KS", "LP", "TVD"):
        lows = [interval(name, pair, measure(pair)[name])[0] for pair in drawn]
        assert 0.92 <= np.mean([low == 0 for low in lows]) <= 0.98  # It was 0 to 0.11.


@pytest.mark.parametrize("name", ["DCA", "DCR", "TE", "GE"])
def test_limits_of_ratios_hold_the_truth_as_often_as_they_say(name: str) -> None:
    rng = np.random.default_rng(3)
    shares = {"a": [0.15, 0.08, 0.1, 0.67], "d": [0.1, 0.1, 0.12, 0.68]}
    exact = pair_of((1500, 800, 1000, 6700), (1000, 1000, 1200, 6800))
    # GE is of all rows: as many of each group as will be drawn.
    truth = measure(exact)[name].value
    drawn = [
        pair_of(*(tuple(rng.multinomial(1_000, shares[side])) for side in "ad")) for _ in range(800)
    ]

    limits = [interval(name, pair, measure(pair)[name]) for pair in drawn]

    assert all(limits)
    assert 0.92 <= np.mean([low <= truth <= high for low, high in limits]) <= 0.98


def test_standard_errors_on_adult_are_those_of_the_bootstrap() -> None:
    # Multinomial bootstrap of the same counts, run elsewhere with 2,000 replicates.
    wanted = {"DPPL": 0.00552, "DI": 0.0156, "RD": 0.0223, "DCA": 0.0563, "TE": 0.304, "GE": 0.0017}
    [pair] = case_pairs(CASES["sex_female"], people()).values()
    found = measure(pair)

    for name, error in wanted.items():
        low, high = interval(name, pair, found[name])
        assert (high - low) / 2 / 1.96 == pytest.approx(error, rel=0.05)


def test_limits_of_what_cannot_be_negative_hold_the_value_and_are_those_of_the_difference() -> None:
    [pair] = case_pairs(CASES["sex_female"], people()).values()
    found = measure(pair, stratified=True)

    for name in ("KL", "JS", "LP", "TVD", "KS", "CDDL", "CDDPL", "CI"):
        low, high = interval(name, pair, found[name])
        assert low < found[name].value < high
    tvd, dpl = (interval(name, pair, found[name]) for name in ("TVD", "DPL"))
    assert tvd == pytest.approx(dpl, abs=1e-4)


tables = hnp.arrays(np.int64, (2, 3, 3, 3), elements=st.integers(0, 40))


@given(tables)
def test_any_counts_give_values_within_their_limits_and_ranges(counts: np.ndarray) -> None:
    pair = Pair.of(counts)
    ranges = {"CI": 1, "DPL": 1, "DPPL": 1, "AD": 1, "RD": 1, "SD": 1, "DAR": 1, "DRR": 1}
    ranges |= {"CDDL": 1, "CDDPL": 1, "TVD": 1, "KS": 1, "JS": math.log(2), "LP": math.sqrt(2)}

    for name, one in measure(pair, stratified=True).items():
        assert (one.value is None) == bool(one.reason)
        if one.value is None:
            continue
        assert not math.isnan(one.value)
        assert abs(one.value) <= ranges.get(name, math.inf) + 1e-12
        low, high = interval(name, pair, one)
        assert low <= one.value + 1e-9
        assert one.value - 1e-9 <= high
