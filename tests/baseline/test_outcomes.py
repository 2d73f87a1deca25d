"""Outcomes: what is kept of a reference's answers and groups, and what they mean."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.folder import to_parquet
from driftline.baseline.outcomes import Outcomes, class_texts
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.roles import Facet, Roles

PEOPLE = pd.DataFrame(
    {
        "sex": ["F", "M"] * 30,
        "age": np.arange(60, dtype=float) + 18,
        "grade": [1, 2, 3] * 20,
        "hired": [0, 1, 1] * 20,
        "guess": [0, 1, 0] * 20,
        "score": np.linspace(0, 1, 60),
    }
)
ANSWERS = {"label": "hired", "prediction": "guess", "probability": "score"}


def roles_of(**named: object) -> Roles:
    found = Baseline.fit(PEOPLE, **named).outcomes
    assert found is not None
    return found.roles


@pytest.mark.parametrize(
    ("roles", "is_told"),
    [
        ({"prediction": "score"}, True),
        ({"prediction": "score", "problem": "regression"}, False),
        ({"probability": "score"}, False),
        ({"prediction": "guess"}, False),
        ({"prediction": "age"}, False),
    ],
)
def test_shares_named_as_predictions_of_0_and_1_are_told(
    roles: dict[str, str], is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    roles_of(label="hired", **roles)

    told = 'label "hired" holds only 0 and 1, and prediction "score" values between them'
    assert (told in caplog.text) is is_told


@pytest.mark.parametrize(
    "held", [[[1.0, 2.0]], [["a", "b"]], ["[1, 2]"]], ids=["numbers", "texts", "csv"]
)
def test_lists_where_a_row_has_one_label_and_one_answer_are_refused(held):
    table = pa.table({"x": range(60), "y": [1.0] * 60, "said": held * 60})

    for roles in ({"label": "y", "prediction": "said"}, {"label": "said", "prediction": "y"}):
        with pytest.raises(InputError, match=r'"said" holds lists.*expected one value a row'):
            Baseline.fit(table, **roles)


def test_label_answers_and_groups_are_kept_beside_features():
    outcomes = Baseline.fit(PEOPLE, **ANSWERS, facet="sex=F", exclude=["age"]).outcomes

    assert {*outcomes.table.column_names} == {"hired", "guess", "score", "sex", "grade"}
    assert outcomes.table.num_rows == outcomes.row_count == 60


def test_the_kind_of_problem_is_what_the_answers_are():
    assert roles_of(**ANSWERS).problem == "binary"
    assert roles_of(label="grade", prediction="guess").problem == "multiclass"
    assert roles_of(label="age", prediction="score").problem == "regression"
    assert roles_of(label="hired", prediction="guess", problem="regression").problem == "regression"


def test_the_positive_class_is_the_last_one_unless_named():
    assert roles_of(**ANSWERS).positive == "1"
    assert roles_of(**ANSWERS, positive=0).positive == "0"


def test_a_number_of_many_values_is_split_by_a_threshold_whatever_its_type():
    for kind in (float, int):
        rows = PEOPLE.assign(age=PEOPLE["age"].astype(kind))
        found = Baseline.fit(rows, **ANSWERS, facet="age=40").outcomes.roles.facets

        assert found == (Facet("age", (), 40.0),)


def test_outcomes_survive_being_saved(tmp_path):
    fitted = Baseline.fit(PEOPLE, **ANSWERS, facet=["sex=F", "age=40"], group="grade")
    fitted.save(tmp_path)

    again = Baseline.load(tmp_path).outcomes

    assert again.roles == fitted.outcomes.roles
    assert again.table.equals(fitted.outcomes.table)
    assert again.row_count == 60


def test_a_newer_format_is_refused():
    with pytest.raises(InputError, match="make the baseline again"):
        Outcomes.from_bytes(to_parquet(pa.table({"a": [1]})))


def test_scores_in_percent_need_a_prediction_or_the_mend():
    percent = PEOPLE.assign(score=PEOPLE["score"] * 100)

    with pytest.raises(InputError, match=r"0 to 100; expected 0 to 1"):
        Baseline.fit(percent, label="hired", probability="score")
    assert Baseline.fit(percent, **ANSWERS).outcomes is not None


def test_a_positive_amount_is_no_class_of_a_binary_problem() -> None:
    hours = np.linspace(20.5, 60.0, 800)
    rows = pa.table({"hours": hours, "said": hours[::-1], "sex": ["F", "M"] * 400})
    roles = {"label": "hours", "prediction": "said", "positive": 40, "facet": "sex=F"}

    above = Baseline.fit(rows, **roles)

    assert above.outcomes.roles.problem == "regression"
    with pytest.raises(InputError, match=r"800 different numbers.* above positive 40 are positive"):
        Baseline.fit(rows, **roles, problem="binary")


def test_equal_classes_of_other_types_have_equal_texts():
    for values in (
        pa.array([1, 0, None]),
        pa.array([1.0, 0.0, np.nan]),
        pa.array(["1", "0", None]),
    ):
        assert class_texts(values).to_pylist() == ["1", "0", None]
    assert class_texts(pa.array(["True", "true", "x"])).to_pylist() == ["true", "true", "x"]
