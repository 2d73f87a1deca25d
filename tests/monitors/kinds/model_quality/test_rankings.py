"""Rankings: lists of items as predictions, judged by the items that turned out relevant.

Oracles: scikit-learn's ndcg_score; Manning, Raghavan and Schutze (2008) for MAP, spelled out row by
row; by-lot values by dealing every label to every row.
"""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import ndcg_score

import driftline as dl
from driftline.baseline.answers import read_answers
from driftline.baseline.rankings import read_rankings
from driftline.errors import InputError
from driftline.monitors.kinds.model_quality.metrics import measure_answers
from driftline.roles import Roles

ITEMS = [f"item {place}" for place in range(40)]
ROLES = Roles(label="y", prediction="f", problem="ranking")


def rows(
    count: int, *, seed: int, skill: float = 1.0, timed: bool = False, shown: int = 15
) -> pd.DataFrame:
    """Draw items by what each user likes; rankings know it by their skill, besides noise."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(count, len(ITEMS)))
    said = skill * taste + rng.normal(size=taste.shape)
    order = np.argsort(-said, axis=1)[:, :shown]
    liked = taste > 1.5
    liked[np.arange(count), taste.argmax(axis=1)] = True
    table = {
        "y": [[ITEMS[one] for one in np.flatnonzero(row)] for row in liked],
        "f": [[ITEMS[one] for one in row] for row in order],
        "x": rng.normal(size=count),
        "page": rng.choice(["home", "search", "cart"], count),
    }
    if timed:
        table["at"] = pd.date_range("2026-01-01", periods=count, freq="1h", tz="UTC")
    return pd.DataFrame(table)


def fitted(frame: pd.DataFrame, **named: object) -> dl.Baseline:
    timestamp = "at" if "at" in frame else None
    return dl.Baseline.fit(frame, label="y", prediction="f", timestamp=timestamp, **named)


def measured(frame: pd.DataFrame) -> dict[str, float]:
    answers = read_answers(pa.Table.from_pandas(frame), ROLES, "ranking")
    return {name: one.value for name, one in measure_answers(answers).items()}


def oracle_ndcg(wanted: list[str], said: list[str]) -> float:
    """Score by scikit-learn: what is not shown stands behind ten places of padding."""
    rest = [one for one in wanted if one not in said]
    universe = [*said, *(f"pad {place}" for place in range(10)), *rest]
    truth = [[float(one in wanted) for one in universe]]
    return float(ndcg_score(truth, [[-float(at) for at in range(len(universe))]], k=10))


def oracle_average_precision(wanted: list[str], said: list[str]) -> float:
    found, total = 0, 0.0
    for place, item in enumerate(said[:10], start=1):
        if item in wanted and item not in said[: place - 1]:
            found += 1
            total += found / place
    return total / min(len(set(wanted)), 10)


@pytest.mark.parametrize("shown", [3, 10, 15])
def test_metrics_are_those_of_their_definitions(shown: int) -> None:
    frame = rows(300, seed=1, shown=shown)

    found = measured(frame)

    pairs = list(zip(frame.y, frame.f, strict=True))
    hits = [len({*wanted} & {*said[:10]}) for wanted, said in pairs]
    recall = [one / len(wanted) for one, (wanted, _) in zip(hits, pairs, strict=True)]
    assert found == pytest.approx(
        {
            "ndcg_at_10": np.mean([oracle_ndcg(*one) for one in pairs]),
            "map_at_10": np.mean([oracle_average_precision(*one) for one in pairs]),
            "recall_at_10": np.mean(recall),
            "hit_rate_at_10": np.mean([one > 0 for one in hits]),
        },
        rel=1e-12,
    )


def test_more_relevant_items_than_places_can_all_be_ranked_best() -> None:
    wanted = ITEMS[:25]
    frame = pd.DataFrame({"y": [wanted], "f": [wanted[:10]]})

    found = measured(frame)

    assert found["ndcg_at_10"] == pytest.approx(1.0, rel=1e-12)
    assert found["map_at_10"] == pytest.approx(1.0, rel=1e-12)
    assert found["recall_at_10"] == pytest.approx(10 / 25, rel=1e-12)


def test_an_item_that_stands_twice_counts_at_its_first_place_alone() -> None:
    frame = pd.DataFrame({"y": [["a", "b", "a"]], "f": [["a", "a", "b"]]})

    found = measured(frame)

    ideal = 1.0 + 1.0 / math.log2(3)
    assert found["ndcg_at_10"] == pytest.approx((1.0 + 0.5) / ideal, rel=1e-12)
    assert found["map_at_10"] == pytest.approx((1.0 + 2 / 3) / 2, rel=1e-12)
    assert found["recall_at_10"] == 1.0


def test_by_lot_is_the_mean_over_all_ways_to_deal_labels() -> None:
    frame = rows(40, seed=3)
    wanted = np.mean([oracle_ndcg(one, said) for one in frame.y for said in frame.f])

    found = read_rankings(pa.Table.from_pandas(frame), "y", "f")

    assert found.lot == pytest.approx(wanted, rel=1e-12)


def test_lists_of_texts_are_rankings_and_stay_lists(tmp_path) -> None:
    baseline = fitted(rows(800, seed=1))
    baseline.save(tmp_path / "b")

    again = dl.Baseline.load(tmp_path / "b")

    assert again.outcomes.roles.problem == "ranking"
    assert again.outcomes.table["f"].type == pa.list_(pa.string())
    types = {one.name: one.sent_type for one in again.signature.columns}
    assert (types["y"], types["f"]) == ("list<string>", "list<string>")
    window = rows(400, seed=2, skill=0.5)
    assert [one.value for one in dl.check(window, again, kind="model-quality").metrics] == [
        one.value for one in dl.check(window, baseline, kind="model-quality").metrics
    ]


@pytest.mark.parametrize("timed", [False, True])
def test_worse_rankings_are_a_violation_and_equal_ones_are_none(timed: bool) -> None:
    baseline = fitted(rows(1500, seed=1, timed=timed))

    quiet = dl.check(rows(700, seed=2, timed=timed), baseline, kind="model-quality")
    worse = dl.check(rows(700, seed=3, skill=0.4, timed=timed), baseline, kind="model-quality")

    assert quiet.passed
    found = {one.name: one for one in worse.metrics}
    assert found["ndcg_at_10"].severity == "page"
    assert found["ndcg_at_10"].low < found["ndcg_at_10"].value < found["ndcg_at_10"].high
    assert not worse.passed


def test_the_interval_holds_what_it_says(pytestconfig: pytest.Config) -> None:
    """Of many windows the 95% interval of each metric holds that of many rows."""
    truth, held = measured(rows(20_000, seed=5)), dict.fromkeys(measured(rows(2, seed=1)), 0)

    # Binomial of 300, or 100, with 0.95: below with a chance under 1e-4.
    windows, least = (300, 268) if pytestconfig.getoption("full") else (100, 85)
    for seed in range(100, 100 + windows):
        answers = read_answers(pa.Table.from_pandas(rows(150, seed=seed)), ROLES, "ranking")
        for name, one in measure_answers(answers).items():
            low, high = one.interval
            held[name] += low <= truth[name] <= high

    assert min(held.values()) >= least


def test_a_segment_that_became_worse_is_named() -> None:
    baseline = fitted(rows(3000, seed=1))
    window, worse = rows(1500, seed=2), rows(1500, seed=2, skill=-1.0)
    at = window.page == "cart"
    window.loc[at, "f"] = worse.f[at]

    report = dl.check(window, baseline, kind="model-quality")

    assert {one.segment.column: one.segment.level for one in report.violations[:1]} == {
        "page": "cart"
    }
    assert "mean 1 - NDCG from" in report.violations[0].cause


def test_without_a_column_of_labels_nothing_is_decided_yet() -> None:
    reference = fitted(rows(400, seed=1))

    report = dl.check(rows(400, seed=2).drop(columns="y"), reference, kind="model-quality")

    assert not report.decided
    assert report.violations == ()
    assert 'none of them has a label yet; the data has no column "y"' in report.summary


def test_labels_of_no_item_and_rows_without_ranking_are_left_out_and_counted() -> None:
    baseline, window = fitted(rows(800, seed=1)), rows(200, seed=2)
    kept = window[30:].reset_index(drop=True)
    window["y"] = pd.Series([*([] for _ in range(10)), *(None for _ in range(10)), *window.y[20:]])
    window["f"] = pd.Series([*window.f[:20], *(None for _ in range(10)), *window.f[30:]])

    report = dl.check(window, baseline, kind="model-quality")

    found = {one.name: one.value for one in report.metrics if one.name in measured(kept)}
    assert found == pytest.approx(measured(kept), rel=1e-12)
    assert report.details["unfit_labels"] == 10
    assert report.details["rows_without_label"] == 10
    assert report.details["rows_without_answer"] == 10
    assert report.labelled_count == 180
    assert "10 labels left out: no relevant item" in str(report.details)


def test_rankings_are_the_same_from_every_form_of_file(tmp_path) -> None:
    baseline, window = fitted(rows(800, seed=1)), rows(200, seed=2)
    window.to_parquet(tmp_path / "rows.parquet")
    window.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    window.assign(**{name: window[name].map(json.dumps) for name in ("y", "f")}).to_csv(
        tmp_path / "rows.csv", index=False
    )

    found = [
        dl.check(tmp_path / f"rows.{form}", baseline, kind="model-quality").metrics[0].value
        for form in ("parquet", "jsonl", "csv")
    ]
    fits = [
        dl.Baseline.fit(tmp_path / f"rows.{form}", label="y", prediction="f").outcomes.roles.problem
        for form in ("parquet", "jsonl", "csv")
    ]

    assert found == [measured(window)["ndcg_at_10"]] * 3
    assert fits == ["ranking"] * 3


@pytest.mark.parametrize("as_one", [False, True])
@pytest.mark.parametrize("kind", [int, float])
def test_items_may_be_numbers_and_a_label_one_item(kind: type, as_one: bool) -> None:
    frame = rows(800, seed=1)
    frame["f"] = frame.f.map(lambda one: [kind(item.split()[1]) for item in one])
    frame["y"] = frame.y.map(lambda one: [int(item.split()[1]) for item in one[:1]])
    wanted = measured(frame)
    frame["y"] = frame.y.map(lambda one: one[0] if as_one else one)

    report = dl.check(frame, fitted(frame, problem="ranking"), kind="model-quality")

    assert {one.name: one.value for one in report.metrics} == pytest.approx(wanted, rel=1e-12)


def test_one_item_as_a_text_is_the_relevant_one() -> None:
    frame = rows(800, seed=1)
    frame["y"] = frame.y.map(lambda one: one[:1])
    wanted = measured(frame)
    frame["y"] = frame.y.map(lambda one: one[0])

    report = dl.check(frame, fitted(frame, problem="ranking"), kind="model-quality")

    assert {one.name: one.value for one in report.metrics} == pytest.approx(wanted, rel=1e-12)


def test_what_rankings_do_not_have_is_refused_in_a_sentence() -> None:
    frame = rows(800, seed=1)
    baseline = fitted(frame, facet="page=cart")

    with pytest.raises(InputError, match="SageMaker has no metrics of rankings"):
        dl.check(frame, baseline, kind="model-quality", compat="sagemaker")
    with pytest.raises(InputError, match="bias: the answers are rankings"):
        dl.check(frame, baseline, kind="bias")
    with pytest.raises(InputError, match="costs with rankings as answers; expected classes"):
        dl.check(frame, baseline, kind="model-quality", costs={"fp": 1, "fn": 2})
    with pytest.raises(InputError, match="rankings are not compared"):
        dl.compare(frame.assign(variant=["a", "b"] * 400), baseline, metric="accuracy")
    with pytest.raises(InputError, match="metrics of one's own take classes or numbers"):
        dl.check(frame, baseline, kind="model-quality", metrics=[own_metric])
    with pytest.raises(InputError, match='prediction "f" holds double, and the baseline rankings'):
        dl.check(frame.assign(f=1.0), baseline, kind="model-quality")
    with pytest.raises(InputError, match='prediction "x" holds no lists; a ranking is a list'):
        dl.Baseline.fit(frame, label="y", prediction="x", problem="ranking")


def own_metric(labels: object, predictions: object) -> float:
    """Never called: there are no classes and no numbers to give it."""
    raise AssertionError((labels, predictions))


def test_a_million_places_are_read_without_a_loop_over_rows() -> None:
    """Read 100,000 rankings of 10 items: a row takes no call of Python's."""
    rng = np.random.default_rng(1)
    said = pa.array(rng.integers(0, 5_000, 1_000_000).astype(str))
    wanted = pa.array(rng.integers(0, 5_000, 200_000).astype(str))
    table = pa.table(
        {
            "f": pa.ListArray.from_arrays(pa.array(np.arange(0, 1_000_001, 10, np.int32)), said),
            "y": pa.ListArray.from_arrays(pa.array(np.arange(0, 200_001, 2, np.int32)), wanted),
        }
    )
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        found = read_rankings(table, "y", "f")
    finally:
        sys.setprofile(None)

    assert found.hits.shape == (100_000, 10)
    assert calls < 1_000


@pytest.mark.parametrize("named", [{"positive": "a"}, {"probability": "chance"}])
def test_rankings_have_no_classes(named: dict[str, str]) -> None:
    frame = rows(60, seed=1).assign(chance=0.5)

    with pytest.raises(InputError, match="a ranking has no"):
        fitted(frame, problem="ranking", **named)


def test_labels_that_are_no_lists_are_counted_or_refused() -> None:
    baseline, frame = fitted(rows(400, seed=1)), rows(200, seed=2)
    some = frame.assign(y=[json.dumps(list(one)) for one in frame["y"]])
    some.loc[:49, "y"] = "just one"

    report = dl.check(some, baseline, kind="model-quality")

    assert report.details["unfit_labels"] == 50
    assert report.details["rows_without_label"] == 0
    assert report.labelled_count == 150
    with pytest.raises(InputError, match='label "y": none of 200 values is a list'):
        dl.check(frame.assign(y="just one"), baseline, kind="model-quality")
