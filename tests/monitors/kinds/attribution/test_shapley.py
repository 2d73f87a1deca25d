import itertools
import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor

from driftline.monitors.kinds.attribution.shapley import CALL_VALUES, explain

Model = Callable[[np.ndarray], np.ndarray]


def table(values: np.ndarray) -> pa.Table:
    return pa.table({f"x{at}": values[:, at] for at in range(values.shape[1])})


def asked(model: Model) -> Callable[[pa.Table], np.ndarray]:
    return lambda rows: model(np.column_stack([column.to_numpy() for column in rows.columns]))


def exact(model: Model, rows: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Shapley's own sum over all coalitions, against each background row."""
    width = rows.shape[1]
    found = np.zeros(rows.shape)
    for size in range(width):
        weight = math.factorial(size) * math.factorial(width - size - 1) / math.factorial(width)
        for feature in range(width):
            others = [one for one in range(width) if one != feature]
            for coalition in itertools.combinations(others, size):
                for behind in background:
                    without = np.tile(behind, (len(rows), 1))
                    without[:, coalition] = rows[:, coalition]
                    with_it = without.copy()
                    with_it[:, feature] = rows[:, feature]
                    found[:, feature] += weight * (model(with_it) - model(without))
    return found / len(background)


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(60, 4))


@pytest.fixture
def background(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(5, 4))


@given(seed=st.integers(0, 2**32), width=st.integers(1, 6), depth=st.integers(1, 4))
def test_contributions_and_expected_value_sum_to_the_answer_whatever_is_drawn(
    seed: int, width: int, depth: int
) -> None:
    random = np.random.default_rng(seed)
    rows, background = random.integers(0, 3, (9, width)), random.integers(0, 3, (depth, width))

    def model(values: np.ndarray) -> np.ndarray:
        return np.sin(values @ np.arange(1, width + 1)) + values.prod(axis=1)

    found = explain(table(rows), table(background), asked(model), seed=seed)

    total = found.values.sum(axis=2)[:, 0] + found.expected
    np.testing.assert_allclose(total, model(rows), atol=1e-12)
    same = (rows[:, None, :] == background[None, :, :]).all(axis=1)
    assert (found.values[:, 0][same] == 0).all()


def test_a_linear_model_gives_its_closed_form(rows: np.ndarray, background: np.ndarray) -> None:
    weights = np.array([1.0, -2.0, 0.0, 3.0])

    found = explain(table(rows), table(background), asked(lambda x: x @ weights + 7), seed=0)

    expected = weights * (rows - background.mean(axis=0))
    np.testing.assert_allclose(found.values[:, 0], expected, atol=1e-12)
    assert found.expected == pytest.approx(background.mean(axis=0) @ weights + 7)


def test_features_that_play_the_same_part_share_alike_and_idle_ones_get_nothing(
    rows: np.ndarray, background: np.ndarray
) -> None:
    rows[:, 1], background[:, 1] = rows[:, 0], background[:, 0]

    found = explain(
        table(rows), table(background), asked(lambda x: x[:, 0] * x[:, 1] + x[:, 2] ** 2), seed=0
    )

    # Of two features, one pair of orders is all orders: exact, hence equal.
    np.testing.assert_allclose(found.values[:, 0, 0], found.values[:, 0, 1], atol=1e-12)
    assert (found.values[:, 0, 3] == 0).all()


def test_the_importances_of_a_tree_agree_with_all_coalitions(rng: np.random.Generator) -> None:
    train = rng.normal(size=(500, 4))
    tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    tree.fit(train, train[:, 0] * train[:, 1] + np.where(train[:, 2] > 0, 2, 0))
    rows, background = train[:150], train[150:158]

    found = explain(table(rows), table(background), asked(tree.predict), seed=3).values[:, 0]

    truth = exact(tree.predict, rows, background)
    np.testing.assert_allclose(found.mean(axis=0), truth.mean(axis=0), atol=0.03)
    mean, its = np.abs(found).mean(axis=0), np.abs(truth).mean(axis=0)
    np.testing.assert_allclose(mean, its, rtol=0.05, atol=0.01)
    assert np.abs(found - truth).max() < 1.0


def test_text_and_gaps_are_replaced_by_the_background_rows_value() -> None:
    seen: list[pa.Table] = []
    rows = pa.table({"carrier": ["UA", None], "temp": [None, 4.0], "n": pa.array([1, 2])})
    background = pa.table({"carrier": ["B6"], "temp": [1.0], "n": pa.array([7])})

    def predict(asked_about: pa.Table) -> np.ndarray:
        seen.append(asked_about)
        texts = asked_about["carrier"].to_pylist()
        return np.array([{"UA": 5.0, "B6": 2.0, None: 0.0}[text] for text in texts])

    found = explain(rows, background, predict, seed=0)

    np.testing.assert_array_equal(found.values[:, 0], [[3, 0, 0], [-2, 0, 0]])
    assert {one.schema for one in seen} == {rows.schema}
    assert pa.concat_tables(seen)["temp"].null_count > 0


def test_a_model_gets_few_values_in_one_call_however_many_rows_it_is_asked_about(
    rng: np.random.Generator,
) -> None:
    rows, background, sizes = rng.normal(size=(400, 12)), rng.normal(size=(10, 12)), list[int]()

    def model(values: np.ndarray) -> np.ndarray:
        sizes.append(values.size)
        return values.sum(axis=1)

    found = explain(table(rows), table(background), asked(model), seed=0)

    assert found.values[:, 0] == pytest.approx(rows - background.mean(axis=0))
    assert max(sizes) <= CALL_VALUES < sum(sizes)
