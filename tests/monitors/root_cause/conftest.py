import numpy as np
import pytest

from driftline.baseline.store import Baseline
from tests.monitors.root_cause.hotels import ROWS, hotels


@pytest.fixture(scope="package")
def reference() -> Baseline:
    return Baseline.fit(hotels(np.random.default_rng(1), ROWS))
