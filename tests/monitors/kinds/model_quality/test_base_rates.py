"""What a moved share of positives takes from Brier skill, and what is judged beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.metrics import brier_score_loss

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.base_rates import Odds, count_odds
from driftline.monitors.kinds.model_quality.blocks import reference_blocks
from driftline.monitors.kinds.model_quality.documents import Constraint
from driftline.monitors.kinds.model_quality.influence import Measure, Numbers
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.monitors.kinds.model_quality.skill import (
    Scatter,
    judge_metric,
    scatter,
    variance_of,
)
from driftline.stats.blocks import DAY_US

ROWS, LEVEL = 300, 0.375 / 365
Day = tuple[np.ndarray, Numbers]


def day(rng: np.random.Generator, moved: float, *, said: float = 0.0, rows: int = ROWS) -> Day:
    """Draw labels whose log-odds are moved, and scores whose log-odds may be, too."""
    x = rng.normal(-1.0, 1.0, rows)
    return rng.random(rows) < special.expit(x + moved), special.expit(x + said)


def dealt(one: Day, rng: np.random.Generator, share: float = 0.5) -> Day:
    """Deal the labels of a share of the rows to each other by lot: skill is lost there."""
    label, said = one
    hit = np.flatnonzero(rng.random(len(label)) < share)
    label = label.copy()
    label[hit] = label[rng.permutation(hit)]
    return label, said


def counted(one: Day) -> Odds:
    return count_odds(*one, None, float(len(one[0])))


def answers(days: list[Day]) -> Answers:
    label, said = (np.concatenate(one) for one in zip(*days, strict=True))
    times = [k * DAY_US + np.linspace(0, DAY_US - 1, len(one)) for k, (one, _) in enumerate(days)]
    return Answers(
        "binary", label.astype(np.intp), (said > 0.5).astype(np.intp), ("0", "1"), said,
        np.concatenate(times).astype(np.int64), 0, np.arange(len(label)),
    )  # fmt: skip


def skill_of(one: Day) -> Measure:
    return measure_answers(answers([one]))["brier_skill"]


def known_by(days: list[Day]) -> tuple[Measure, Scatter]:
    blocks = reference_blocks(answers(days), DAY_US)
    found = scatter(blocks, "brier_skill")
    assert found is not None
    return blocks[0].whole["brier_skill"], found


def violated(window: Measure, reference: Measure, blocks: Scatter) -> bool:
    return judge_metric(
        window, Constraint(reference.value, "LessThanThreshold"), reference=reference,
        blocks=blocks, is_own=False, alpha=LEVEL,
    ).violated  # fmt: skip


def moving(rng: np.random.Generator, count: int) -> Numbers:
    """Draw moves of log-odds by 0.7 from day to day, of which 0.8 is the day's before."""
    found = rng.normal(size=count)
    for at in range(1, count):
        found[at] = 0.8 * found[at - 1] + 0.6 * found[at]
    return np.asarray(0.7 * found)


def test_scores_are_moved_until_their_mean_is_the_share_that_came() -> None:
    label, said = day(np.random.default_rng(1), 0.8, rows=20_000)
    odds = special.logit(said)

    found = counted((label, said))

    expected = optimize.brentq(lambda move: special.expit(odds + move).mean() - label.mean(), -5, 5)
    assert found.own_move[0] == pytest.approx(expected, abs=2e-3)
    before, after = (brier_score_loss(label, special.expit(odds + by)) for by in (0.0, expected))
    assert found.gain(np.array([expected]))[0] == pytest.approx(np.log(before / after), rel=0.01)


def test_the_rows_variance_is_that_of_the_measure_and_of_the_move_that_of_draws() -> None:
    rng = np.random.default_rng(2)
    draws = [counted(day(rng, 0.5)) for _ in range(400)]
    one = day(rng, 0.0, rows=5_000)

    variance = counted(one).variance(np.zeros(1))[0]

    assert variance == pytest.approx(variance_of(skill_of(one)), rel=0.01)
    # The variance of 400 draws is known to 7%.
    drawn = np.var([one.own_move[0] for one in draws])
    assert np.mean([one.chance[0] for one in draws]) == pytest.approx(drawn, rel=0.2)


def test_labels_and_scores_that_move_each_their_own_way_explain_nothing() -> None:
    # Labels by 0.5 and scores by 1: what scores did not follow leads back, the share leads away.
    rng = np.random.default_rng(11)
    _, blocks = known_by([day(rng, moved, rows=1_000) for moved in moving(rng, 60)])
    assert blocks.moves is not None

    along, apart = (
        blocks.moves.explained(counted(day(rng, 0.5, said=said, rows=20_000)))[0][0]
        for said in (0.0, 1.0)
    )

    assert along > 0.01
    assert apart == 0.0


@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_class_have_no_skill_whatever_their_weights(label: int) -> None:
    rng = np.random.default_rng(12)
    one = replace(
        answers([(np.full(ROWS, label == 1), rng.random(ROWS))]), weight=rng.random(ROWS) + 0.1
    )

    found = measure_answers(one)["brier_skill"]

    assert found.undefined == "all labels are equal"
    assert found.odds is None


def test_more_rows_leave_less_chance_in_a_move() -> None:
    one = skill_of(day(np.random.default_rng(13), 0.5))
    assert one.odds is not None

    more = one.of_more(10.0).odds

    assert more is not None
    assert more.chance[0] == pytest.approx(one.odds.chance[0] / 10.0)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    label, said = day(np.random.default_rng(9), 0.5)
    twice = np.arange(ROWS) % 3 == 0
    weights = np.where(twice, 2.0, 1.0)

    found = count_odds(label, said, weights / weights.mean(), 300.0)

    each = np.repeat(np.arange(ROWS), weights.astype(int))
    repeated = counted((label[each], said[each]))
    np.testing.assert_allclose(found.counts, repeated.counts, atol=1e-12)


def test_only_what_scores_did_not_follow_is_explained_and_only_where_the_share_moved() -> None:
    rng = np.random.default_rng(3)
    # As many days to either side: the whole reference has not moved.
    days = [day(rng, move) for move in rng.permutation(np.linspace(-1.3, 1.3, 60))]
    moves = known_by(days)[1].moves
    assert moves is not None

    def explained(moved: float, said: float) -> float:
        return float(moves.explained(counted(day(rng, moved, said=said, rows=50_000)))[1][0])

    assert moves.part > 0.9
    assert explained(1.0, 0.0) == pytest.approx(moves.part, abs=0.15)
    assert explained(1.0, 1.0) == pytest.approx(0.0, abs=0.15)
    assert explained(1.0, 0.6) == pytest.approx(0.4 * moves.part, abs=0.15)
    # The labels are the reference's: scores alone are wrong.
    assert explained(0.0, 1.5) == pytest.approx(0.0, abs=0.15)
    # Farther than any day: nobody takes it for a day like those.
    far = counted(day(rng, 9.0, rows=50_000))
    assert moves.explained(far, LEVEL / 2)[1][0] == 0.0
    assert moves.explained(far)[1][0] > 5.0


def test_where_rows_make_all_moves_next_to_nothing_is_explained() -> None:
    rng = np.random.default_rng(4)
    days = [day(rng, 0.0) for _ in range(60)]
    moves = known_by(days)[1].moves

    assert moves is not None and moves.part < 0.05
    assert moves.explained(counted(day(rng, 0.4)))[0][0] < 0.005


def test_days_whose_base_rate_moves_ring_as_seldom_as_said_and_find_lost_skill() -> None:
    """28 days, log-odds by 0.7 of which 0.8 stays: 2.3 a year without it."""
    rung, found, tried = 0, 0, 0
    for seed in range(8):
        rng = np.random.default_rng([5, seed])
        days = [day(rng, move) for move in moving(rng, 28 + 200)]
        reference, blocks = known_by(days[:28])
        for one in days[28:]:
            rung += violated(skill_of(one), reference, blocks)
        for one in days[-20:]:
            found += violated(skill_of(dealt(one, rng)), reference, blocks)
            tried += 1

    # A budget of 0.375 in 365 days: 1.6 in these, and more than 5 once in 90 times.
    assert rung <= 5
    assert found / tried > 0.1


def test_fourteen_days_that_are_alike_judge_as_before() -> None:
    rng = np.random.default_rng(6)
    days = [day(rng, 0.0, rows=1_000) for _ in range(14)]
    reference, blocks = known_by(days)

    lost = [skill_of(dealt(day(rng, 0.0, rows=1_000), rng, 0.7)) for _ in range(20)]

    assert sum(violated(one, reference, blocks) for one in lost) > 10


def test_a_base_rate_farther_out_than_any_day_is_a_loss_that_scores_did_not_follow() -> None:
    rng = np.random.default_rng(7)
    days = [day(rng, 0.3 * rng.normal(), rows=1_000) for _ in range(60)]
    reference, blocks = known_by(days)

    assert violated(skill_of(day(rng, 3.5, rows=1_000)), reference, blocks)
    assert not violated(skill_of(day(rng, 0.6, rows=1_000)), reference, blocks)
    assert not violated(skill_of(day(rng, 3.5, said=3.5, rows=1_000)), reference, blocks)


def test_moves_of_windows_that_are_longer_than_blocks_are_smaller() -> None:
    rng = np.random.default_rng(8)
    days = [day(rng, 0.7 * rng.normal()) for _ in range(40)]

    def spread(length: int) -> float:
        found = scatter(reference_blocks(answers(days), length * DAY_US), "brier_skill")
        assert found is not None and found.moves is not None
        return math.sqrt(float(found.moves.variation.variance + found.moves.variation.chance))

    # Forty days are ten blocks of four days; of eight days they are five, so blocks of four tell.
    assert spread(8) == pytest.approx(spread(4) / math.sqrt(2.0), rel=0.5)
    assert spread(8) < spread(4) < spread(1)
