"""What somebody may hand to a check by mistake: each is refused, told or judged, never just passed.

One line an input, through `dl.check` with a kind's baseline; states of scores and labels of model
quality and bias stand in `test_states`.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.errors import DriftlineError
from driftline.monitors.report.report import Report

ROWS = 400
CLASSES = ("cat", "cow", "dog")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def rows(seed: int, count: int = ROWS) -> pd.DataFrame:
    """People with a score, a value that is predicted, and an animal."""
    random = np.random.default_rng(seed)
    size, other = random.normal(size=(2, count))
    chance = 1 / (1 + np.exp(-1.5 * size))
    animal = random.choice(CLASSES, count)
    return pd.DataFrame(
        {
            "id": np.arange(count) + seed * count,
            "size": size,
            "other": other,
            "sex": random.choice(["F", "M"], count),
            "age": random.integers(18, 80, count),
            "said": chance,
            "late": (random.random(count) < chance).astype(int),
            "guess": 2 * size,
            "value": 2 * size + random.normal(size=count),
            "kind": animal,
            "named": np.where(random.random(count) < 0.8, animal, "cat"),
            "worth": random.uniform(0.5, 2, count),
            "at": pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC"),
        }
    )


def model(given: object) -> np.ndarray:
    columns = [np.asarray(given[name], dtype=np.float64) for name in ("size", "other")]
    return 2 * columns[0] + columns[1]


ROLES: dict[str, dict[str, object]] = {
    "binary": {"label": "late", "probability": "said", "id": "id"},
    "classes": {"label": "kind", "prediction": "named", "problem": "multiclass"},
    "numbers": {"label": "value", "prediction": "guess", "problem": "regression"},
    "weighed": {"label": "value", "prediction": "guess", "problem": "regression",
                "weight": "worth"},
    "bias": {"label": "late", "probability": "said", "facet": ["sex", "age>40"]},
    "timed": {"label": "late", "probability": "said", "timestamp": "at"},
    "timed bias": {"label": "late", "probability": "said", "timestamp": "at", "facet": "sex=F"},
    "asked": {"exclude": ["sex", "age", "said", "late", "guess", "value", "kind", "named",
                          "worth", "at", "id"], "predict": model},
}  # fmt: skip
KINDS = {"bias": "bias", "timed bias": "bias", "asked": "attribution"}


@cache
def baseline(roles: str) -> dl.Baseline:
    return dl.Baseline.fit(rows(1), **ROLES[roles])


def checked(roles: str, change: Change, kind: str | None) -> Report:
    kind = kind or KINDS.get(roles, "model-quality")
    more = {"predict": model} if kind == "attribution" else {}
    return dl.check(change(rows(2)), baseline(roles), kind=kind, **more)


def with_(name: str, value: object, count: int = ROWS) -> Change:
    """Put a value into the first rows of a column."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[name].astype(object).to_list()
        values[:count] = [value] * count
        return table.assign(**{name: pd.Series(values, dtype=object).infer_objects()})

    return change


def scaled(name: str, factor: float) -> Change:
    return lambda table: table.assign(**{name: table[name] * factor})


def without(name: str) -> Change:
    return lambda table: table.drop(columns=name)


def first(count: int) -> Change:
    return lambda table: table.iloc[:count]


REFUSED, VIOLATED, UNDECIDED, TOLD = "refused", "violated", "undecided", "told"
# Baseline, what is odd, kind other than the baseline's, verdict, and words of what is said.
INPUTS: list[tuple[str, str, Change, str | None, str, str]] = [
    ("binary", "no row", first(0), None, UNDECIDED, "no rows"),
    ("binary", "one row", first(1), None, UNDECIDED, "too few rows"),
    ("binary", "no answer", without("said"), None, REFUSED, '"said": the data has no such column'),
    ("binary", "no label yet", with_("late", None), None, UNDECIDED, "has a label yet"),
    ("binary", "no column of labels", without("late"), None, UNDECIDED, 'has no column "late"'),
    ("binary", "labels in words", with_("late", "yes", 200), None, VIOLATED, '"late" = "yes"'),
    ("binary", "labels in other words", with_("late", "yes"), None, REFUSED, "only 0, 1"),
    ("binary", "labels that are days", with_("late", date(2026, 1, 1)), None, REFUSED, "2026-01"),
    ("binary", "labels that are objects", with_("late", {"a": 1}), None, REFUSED, '{"a": 1}'),
    ("binary", "scores that are lists", with_("said", [0.2, 0.8]), None, VIOLATED,
     '"said" = a list where the reference has one number'),
    ("binary", "scores in percent", scaled("said", 100), None, VIOLATED, "outside 0 to 1"),
    ("binary", "scores below 0", scaled("said", -1), None, VIOLATED, "outside 0 to 1"),
    ("binary", "no other column", lambda table: table[["said", "late"]], None, TOLD,
     "no violations"),
    ("binary", "names in capitals", lambda table: table.rename(columns=str.upper), None, REFUSED,
     "no such column"),
    ("binary", "a name twice", lambda table: pd.concat([table, table[["late"]]], axis=1), None,
     REFUSED, "stands twice"),
    ("binary", "nothing but nulls", lambda table: table.map(lambda _: None), None, VIOLATED,
     "100% of 400 rows have no prediction"),
    ("classes", "one class", with_("kind", "cat"), None, VIOLATED, "all labels are equal"),
    ("classes", "one answer", with_("named", "cat"), None, VIOLATED, "all 400 predictions are cat"),
    ("classes", "a new label", with_("kind", "Ünïcödé 猫", 3), None, VIOLATED,
     'label "kind" = "Ünïcödé 猫" .3x.; they count as classes of their own'),
    ("classes", "a new answer", with_("named", "emu", 1), None, VIOLATED, '"named" = "emu" .1x.'),
    ("classes", "labels of another type", with_("kind", 7), None, REFUSED, "no value in common"),
    ("classes", "answers that are lists", with_("named", [1, 2]), None, REFUSED, r"\[1, 2]"),
    ("numbers", "labels beyond all numbers", with_("value", math.inf), None, VIOLATED,
     "100% of 400 labels are of no use .reference 0%."),
    ("numbers", "labels that are days", with_("value", date(2026, 1, 1)), None, REFUSED, "2026-01"),
    ("numbers", "huge whole labels", with_("value", 2**62), None, VIOLATED, "no row has a usable"),
    ("numbers", "a quarter of the labels in words", with_("value", "n/a?", 100), None, VIOLATED,
     'no number: "value" = "n/a." .100x.'),
    ("numbers", "a few labels in words", with_("value", "???", 4), None, TOLD, '= "..." .4x.'),
    ("numbers", "equal labels", with_("value", 1.0), None, VIOLATED,
     "r2.* could not be judged .all labels are equal"),
    ("numbers", "equal answers", with_("guess", 1.0), None, VIOLATED, "400 predictions are 1"),
    ("numbers", "answers that are lists", with_("guess", [1.0, 2.0]), None, VIOLATED,
     "a list where the reference has one number"),
    ("numbers", "answers in words", with_("guess", "high"), None, VIOLATED, '"guess" = "high"'),
    ("numbers", "an infinite answer", with_("guess", -math.inf, 1), None, VIOLATED, "infinite"),
    ("weighed", "no weight", without("worth"), None, REFUSED, 'weight "worth"'),
    ("weighed", "weights of 0", scaled("worth", 0), None, UNDECIDED, "weight|worth of|of worth 0"),
    ("weighed", "weights below 0", scaled("worth", -1), None, VIOLATED, "negative or infinite"),
    ("weighed", "weights that are NaN", scaled("worth", math.nan), None, VIOLATED, "no weight"),
    ("weighed", "weights in words", with_("worth", "heavy"), None, VIOLATED, "no weight"),
    ("weighed", "all weight on one row", with_("worth", 1e12, 1), None, UNDECIDED, "worth 1 that"),
    ("bias", "labels of one class", with_("late", 0), None, TOLD,
     "RD.*could not be judged .no observed positives"),
    ("bias", "no label yet", with_("late", None), None, TOLD, "could not be judged .*no labels"),
    ("bias", "no column of labels", without("late"), None, TOLD, 'has no column "late"'),
    ("bias", "no answer", without("said"), None, UNDECIDED, 'has no column "said"'),
    ("bias", "no facet", without("sex"), None, REFUSED, 'facet "sex": the data has no such'),
    ("bias", "a new group alone", with_("sex", "X"), None, UNDECIDED,
     "no row has a value of sex that the reference has"),
    ("bias", "a new group besides", with_("sex", "X", 100), None, TOLD,
     r"sex = X: DPPL could not be judged \(the reference has no rows in group\)"),
    ("bias", "no value of a facet", with_("sex", None), None, UNDECIDED,
     "no row has a value of sex that the reference has; pos"),
    ("bias", "the group alone", with_("sex", "F"), None, TOLD, "no rows outside group"),
    ("bias", "ages in words", with_("age", "old"), None, UNDECIDED,
     "no row has a value of age"),
    ("bias", "equal answers", with_("said", 0.2), None, VIOLATED, "predictions are negative"),
    ("bias", "scores that are lists", with_("said", [0.2]), None, VIOLATED, "a list where"),
    ("timed", "times in words", with_("at", "soon"), None, UNDECIDED,
     '400 of 400 rows have no time ."at".'),
    ("timed", "no column of times", without("at"), None, UNDECIDED,
     "400 of 400 rows have no time"),
    ("timed bias", "no column of times", without("at"), None, UNDECIDED, "varies too much"),
    ("timed", "times in words", with_("at", "soon"), "data-quality", VIOLATED, "not times"),
    ("timed", "no times", with_("at", None), "data-quality", VIOLATED, "at: 100% of rows empty"),
    ("timed", "values at the end of numbers", with_("size", -1e308, 200), "data-quality", VIOLATED,
     "size"),
    ("timed", "several types in a column", with_("size", "a", 100), "data-quality", VIOLATED,
     "size: 25% of values not numbers"),
    ("timed", "no column that is known", lambda table: table[["id"]].set_axis(["q"], axis=1),
     "data-quality", VIOLATED, "Missing columns"),
    ("asked", "rows without values", with_("size", None), None, REFUSED, "answered no number"),
    ("asked", "a missing column", without("size"), None, REFUSED, "the model takes size, other$"),
    ("asked", "a feature beyond all others", scaled("size", 1e18), None, VIOLATED,
     "leans on other features: .* size"),
    ("binary", "no column that is known", lambda table: table[["late"]], "outliers", REFUSED,
     "none of the baseline's"),
    ("binary", "an infinite column", with_("size", math.inf), "outliers", VIOLATED, "odd by size"),
    ("binary", "a few rows", first(20), "joint", UNDECIDED, "too few"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("roles", "change", "kind", "verdict", "words"),
    [pytest.param(one[0], *one[2:], id=f"{one[0]}: {one[1]}") for one in INPUTS],
)
def test_an_odd_input_is_explained(
    roles: str, change: Change, kind: str | None, verdict: str, words: str
) -> None:
    baseline(roles)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            report = checked(roles, change, kind)
        except DriftlineError as error:
            found, said = REFUSED, str(error)
        else:
            found, said = verdict_of(report), words_of(report)
            assert report.html()

    assert found == verdict, said
    assert re.search(words, said), said


def verdict_of(report: Report) -> str:
    if report.violations:
        return VIOLATED
    return TOLD if report.passed else UNDECIDED


def words_of(report: Report) -> str:
    notes = [str(value) for name, value in report.details.items() if name.endswith("_note")]
    causes = [one.cause or "" for one in report.violations]
    return "; ".join([report.summary, *notes, *causes, report.unjudged_text])


@pytest.mark.parametrize("count", [ROWS // 20, pytest.param(ROWS // 2, marks=pytest.mark.full)])
def test_labels_that_are_times_in_nanoseconds_set_no_bound(count: int) -> None:
    faulty = dl.Baseline.fit(with_("value", 4.6e18, count)(rows(1)), **ROLES["numbers"])
    off = rows(2).assign(value=lambda table: table["value"] + 50)

    report = dl.check(off, faulty, kind="model-quality")

    assert {"mae", "rmse", "r2"} <= {str(one.feature_name) for one in report.violations}
