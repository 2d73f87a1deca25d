"""Guesses about columns: what is clear is taken, what is not stays a feature, flags win."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from driftline.app.init.infer_roles import Guessed, guess_roles
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.roles import Facet, Roles

N = 200
RANDOM = np.random.default_rng(7)
KM = RANDOM.gamma(3, 2, N).round(1)
BASE: dict[str, Any] = {
    "km": KM,
    "stops": RANDOM.integers(0, 40, N),
    "courier": RANDOM.choice(["bike", "car", "foot"], N),
}
LATE = KM > 6


def guess(given: Roles | None = None, **columns: Any) -> Guessed:
    frame = pd.DataFrame({**BASE, **columns})
    return guess_roles(open_source(frame), given or Roles())


def why(found: Guessed, role: str) -> list[str]:
    return [one.reason for one in found.guesses if one.role == role]


def test_plain_columns_are_features() -> None:
    found = guess()

    assert found.roles == Roles()
    assert found.guesses == ()


@pytest.mark.parametrize(
    "name", ["label", "target", "is_target", "TrueLabel", "y", "Class", "outcome"]
)
def test_a_label_is_known_by_its_name_wherever_it_stands(name: str) -> None:
    found = guess(**{name: LATE, "after": KM})

    assert found.roles.label == name
    assert why(found, "label") == ["named like the true answer"]


@pytest.mark.parametrize("values", [LATE, LATE.astype(int), np.where(LATE, "late", "fine")])
def test_a_last_column_of_two_values_is_the_label(values: Any) -> None:
    found = guess(arrival=values)

    assert (found.roles.label, found.roles.problem) == ("arrival", "binary")
    assert "the last column, and the only one of two values" in why(found, "label")[0]
    assert guess(rain=LATE, arrival=values).roles.label is None


def test_the_public_churn_data_is_understood() -> None:
    file = Path(__file__).parents[3] / "fixtures" / "baseline" / "churn.csv"

    found = guess_roles(open_source(file), Roles())

    assert found.roles == Roles(label="Churn", problem="binary", positive="1")


@pytest.mark.parametrize("columns", [{"late": LATE, "after": KM}, {"sex": LATE}, {"one": [1] * N}])
def test_what_is_not_clear_stays_a_feature(columns: dict[str, Any]) -> None:
    assert guess(**columns).roles.label is None


@pytest.mark.parametrize(
    ("label", "prediction"),
    [
        ("late", "predicted_late"),
        ("late", "late_pred"),
        ("isLate", "isLatePredicted"),
        ("defaulted", "predicted_default"),
        ("defaulted", "default_prediction"),
        ("default", "pred_default"),
        ("is_late", "predicted_late"),
        ("cancelled", "pred_cancel"),
        ("purchased", "purchase_prediction"),
        ("actual_return", "predicted_returns"),
    ],
)
def test_what_a_prediction_predicts_is_the_label(label: str, prediction: str) -> None:
    found = guess(**{label: LATE, prediction: ~LATE, "after": KM})

    assert (found.roles.label, found.roles.prediction) == (label, prediction)
    assert why(found, "label") == [f'what "{prediction}" predicts, by its name']


@pytest.mark.parametrize(
    "columns",
    [{"defaults": KM}, {"defaulted": LATE, "has_default": LATE}, {"default_reason": LATE}],
)
def test_what_is_not_clearly_what_a_prediction_predicts_is_no_label(columns: Any) -> None:
    found = guess(**columns, predicted_default=~LATE, after=KM)

    assert (found.roles.label, found.roles.prediction) == (None, "predicted_default")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("score", KM / 100, ("score",)),
        ("p_late", KM / 100, ("p_late",)),
        ("predicted_probability", KM / 100, ("predicted_probability",)),
        ("credit_score", KM * 50, ()),
        ("score", RANDOM.integers(0, 2, N), ()),
        ("prob", ["high"] * N, ()),
    ],
)
def test_a_probability_is_named_so_and_between_0_and_1(
    name: str, values: Any, expected: tuple[str, ...]
) -> None:
    found = guess(label=LATE, **{name: values})

    assert found.roles.probability == expected
    assert found.roles.prediction is None


@pytest.mark.parametrize(
    ("values", "problem", "positive"),
    [
        (LATE, "binary", "true"),
        (LATE.astype(int), "binary", "1"),
        (LATE.astype(float), "binary", "1"),
        (np.where(LATE, "Yes", "No"), "binary", None),
        (np.where(LATE, "a", "b"), "binary", None),
        (BASE["courier"], "multiclass", None),
        (RANDOM.integers(0, 5, N), "multiclass", None),
        (RANDOM.integers(0, 100, N), "regression", None),
        (KM, "regression", None),
    ],
)
def test_the_problem_follows_from_the_answers(
    values: Any, problem: str, positive: str | None
) -> None:
    found = guess(label=values)

    assert (found.roles.problem, found.roles.positive) == (problem, positive)


def test_two_classes_of_unknown_meaning_that_are_predicted_are_asked_about_at_once() -> None:
    """A monitor of quality would be refused by `driftline apply`, and the whole file with it."""
    colours = np.where(LATE, "red", "blue")

    with pytest.raises(InputError, match='"label": which of "blue" or "red" is the positive'):
        guess(label=colours, prediction=colours)
    with pytest.raises(InputError, match='"label": which of "blue" or "red" is the positive'):
        guess(label=colours, score=RANDOM.random(N))
    assert guess(Roles(positive="red"), label=colours, prediction=colours).roles.positive == "red"
    assert guess(label=colours).roles.positive is None


def test_times_are_seen_in_texts_and_the_event_is_chosen_among_them() -> None:
    days = pd.date_range("2026-01-01", periods=N, freq="h")
    found = guess(
        date_of_birth=days, shipped_on=days.strftime("%Y-%m-%d %H:%M:%S"), ordered_at=days
    )

    assert found.roles.timestamp == "ordered_at"
    assert found.roles.exclude == ("date_of_birth", "shipped_on")
    assert guess(day=days.strftime("%Y-%m-%d")).roles.timestamp == "day"


def test_ids_and_texts_that_never_repeat_are_no_features() -> None:
    found = guess(
        order_id=[f"A-{n}" for n in range(N)],
        customerId=RANDOM.integers(0, 50, N),
        shop_id=RANDOM.integers(0, 10, N),
        note=[f"ring {n} times" for n in range(N)],
        row=np.arange(N),
    )

    assert found.roles.id_column == "order_id"
    assert found.roles.exclude == ("customerId", "note", "row")


def test_groups_of_people_are_facets_where_answers_have_classes() -> None:
    people = {"sex": RANDOM.choice(["f", "m"], N), "age": RANDOM.integers(18, 90, N)}

    people["age"][: N // 2 + 1] = 44
    people["age"][N // 2 + 1 :] += 44

    assert guess(**people, label=LATE).roles.facets == (Facet("sex"), Facet("age", ("44",)))
    assert guess(**people, label=KM).roles.facets == ()
    assert guess(**people, after=KM).roles.facets == ()
    assert guess(country=["FR"] * N, label=LATE).roles.facets == ()


def test_without_a_positive_class_no_facets_are_guessed() -> None:
    """A monitor of bias would be refused by `driftline apply`, and the whole file with it."""
    sex, colours = np.resize(["f", "m"], N), np.resize(["red", "green", "blue"], N)

    assert guess(sex=sex, label=colours).roles.facets == ()
    assert guess(sex=sex, label=np.resize(["red", "blue"], N)).roles.facets == ()
    assert guess(sex=sex, p_late=RANDOM.random(N)).roles.facets == ()
    assert guess(Roles(positive="red"), sex=sex, label=colours).roles.facets == (Facet("sex"),)


def test_a_column_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r'label "lat".*did you mean "late"'):
        guess(Roles(label="lat"), late=LATE)


def test_no_rows_are_an_error() -> None:
    with pytest.raises(InputError, match="no rows"):
        guess_roles(open_source(pd.DataFrame({"a": pd.Series(dtype=float)})), Roles())


def quantiles(stem: str = "", **also: Any) -> dict[str, Any]:
    noise = RANDOM.normal(size=N)
    found = {f"{stem}p{level}": KM + z for level, z in ((10, -1.28), (50, 0.0), (90, 1.28))}
    return {"minutes": KM + noise, **found, **also}


def test_quantiles_are_known_by_name_order_and_label() -> None:
    found = guess(Roles(label="minutes"), **quantiles())

    assert found.roles.quantiles == ((0.1, "p10"), (0.5, "p50"), (0.9, "p90"))
    assert (found.roles.prediction, found.roles.problem) == ("p50", "regression")
    assert why(found, "quantile")[0] == (
        'named like one, and about as many values of "minutes" lie at or below it'
    )
    named = guess(**quantiles("minutes_"))
    assert named.roles.label == "minutes"
    assert named.roles.levels == (0.1, 0.5, 0.9)


def test_percentiles_that_the_label_does_not_bear_out_are_features() -> None:
    columns = quantiles()

    assert guess(Roles(label="km"), **columns | {"p10": KM * 9}).roles.quantiles == ()
    assert guess(**columns).roles.quantiles == ()  # Nobody knows the label.
    away = {name: values + 5.0 for name, values in columns.items() if name != "minutes"}
    assert guess(Roles(label="minutes"), **columns | away).roles.quantiles == ()
