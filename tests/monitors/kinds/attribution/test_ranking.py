import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import ndcg_score

from driftline.monitors.kinds.attribution.ranking import ndcg

COUNTED = arrays(np.float64, (1, 7), elements=st.integers(0, 3).map(float))


def one(reference: list[float], current: list[float]) -> float:
    return float(ndcg(np.array(reference), np.array(current))[0])


def test_the_guides_example_gives_its_number() -> None:
    # SageMaker's developer guide: .70/.50/.05 becomes .10/.20/.70 (printed as 0.69).
    assert one([0.70, 0.50, 0.05], [0.10, 0.20, 0.70]) == pytest.approx(0.6876, abs=5e-5)


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [  # Measured with scikit-learn.
        ([0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1], 0.950),
        ([0.4, 0.3, 0.2, 0.1], [0.97, 0.02, 0.007, 0.003], 1.0),
        ([0.4, 0.3, 0.2, 0.1], [0.0, 0.0, 0.0, 0.0], 0.874),
        ([1, 1, 1, 1], [0.1, 0.9, 0.2, 0.3], 1.0),
        ([*range(10, 0, -1)], [10, 9, 8, 7, 6, 1, 2, 3, 4, 5], 0.989),
        ([0.8**k for k in range(3)], [0.8 ** (2 - k) for k in range(3)], 0.901),
        ([0.8**k for k in range(20)], [0.8 ** (19 - k) for k in range(20)], 0.465),
    ],
)
def test_ndcg_of_known_situations(
    reference: list[float], current: list[float], expected: float
) -> None:
    assert one(reference, current) == pytest.approx(expected, abs=6e-4)


@given(reference=COUNTED, current=COUNTED)
@settings(deadline=None)
def test_ties_are_averaged_as_scikit_learn_does(reference: np.ndarray, current: np.ndarray) -> None:
    found = ndcg(reference, current)[0]

    if reference.any():
        assert found == pytest.approx(ndcg_score(reference, current))
    else:
        assert np.isnan(found)
