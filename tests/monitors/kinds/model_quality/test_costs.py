"""The mean cost of a row, by the user's prices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as peer
from typer.testing import CliRunner

import driftline as dl
from driftline.app.cli import build
from driftline.baseline.answers import Answers
from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.model_quality.costs import Costs
from driftline.monitors.kinds.model_quality.evaluation import suggest
from driftline.monitors.kinds.model_quality.measures import measure_answers
from tests.monitors.kinds.model_quality.cases import BINARY, ask, flights, of, severities

PRICES = {"fp": 1, "fn": 10, "tp": -2}


def answers(label: np.ndarray, answer: np.ndarray, classes: tuple[str, ...]) -> Answers:
    problem = "binary" if len(classes) == 2 else "multiclass"
    return Answers(problem, label, answer, classes, None, None, 0, np.arange(len(label)))


def with_costs(reference: Baseline, prices: object) -> Baseline:
    document = json.loads(suggest(reference)[QUALITY_CONSTRAINTS])
    document["driftline"] = {"costs": prices}
    return replace(reference, documents={QUALITY_CONSTRAINTS: json.dumps(document)})


def test_the_cost_is_the_sum_of_the_matrix_times_its_prices() -> None:
    rng = np.random.default_rng(1)
    label, answer = rng.integers(0, 3, (2, 500))
    prices = {"a": {"b": 2.5, "c": -1}, "c": {"a": 7}}

    found = measure_answers(answers(label, answer, ("a", "b", "c")), Costs.read(prices))["cost"]

    matrix = np.array([[0, 2.5, -1], [0, 0, 0], [7, 0, 0]])
    wanted = (peer.confusion_matrix(label, answer) * matrix).sum() / 500
    assert found.value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.full
def test_a_cost_like_the_references_is_no_violation_and_a_higher_one_a_ticket(
    reference: Baseline,
) -> None:
    def blind(columns, rng) -> None:
        columns["truth"] += 2.0
        columns["logit"] -= 3.0

    priced = with_costs(reference, PRICES)

    usual = [ask(priced, flights(7, seed)) for seed in range(20, 23)]
    dear = ask(priced, flights(7, 5, change=blind))

    assert all(one.passed and of(one)["cost"].bound is not None for one in usual)
    assert severities(dear)["cost"] == "ticket"
    assert of(dear)["cost"].value > of(dear)["cost"].reference


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"fx": 1}, 'no outcome "fx"'),
        ({"fp": "much"}, "\"fp\" is 'much'; expected a number"),
        ({"fp": True}, "expected a number"),
        ({}, "expected such as"),
        ({"late": {"1": 2}}, 'no class "late"'),
        ({"fp": 0}, "every answer costs the same"),
    ],
)
def test_prices_that_say_nothing_are_refused(
    reference: Baseline, prices: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ask(with_costs(reference, prices), flights(2, 3))


def test_prices_are_given_to_a_check_to_a_baseline_or_on_the_command_line(
    reference: Baseline, tmp_path: Path
) -> None:
    window, text = flights(7, 3, first=100), json.dumps(PRICES)
    file = tmp_path / "prices.json"
    file.write_text(text)
    made = Baseline.fit(flights(28, 1), costs={"0": {"1": 1}, "1": {"0": 10, "1": -2}}, **BINARY)
    made.save(tmp_path / "base")
    pq.write_table(window, tmp_path / "today.parquet")
    place, data = str(tmp_path / "base"), str(tmp_path / "today.parquet")

    found = [of(dl.check(window, reference, costs=one))["cost"] for one in (PRICES, text, file)]
    kept = of(dl.check(window, place, kind="model-quality"))["cost"]
    done = CliRunner().invoke(
        build("check"), ["check", data, "--baseline", place, "--costs", '{"fp": 2}', "--json"]
    )

    assert found[0] == found[1] == found[2]
    assert kept.value == found[0].value
    told = {one["name"]: one for one in json.loads(done.stdout)["metrics"]}
    false_positives = np.mean(window["said"].to_numpy() > window["late"].to_numpy())
    assert told["cost"]["value"] == pytest.approx(2 * false_positives)
