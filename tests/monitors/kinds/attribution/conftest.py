"""What tests of attribution share."""

import numpy as np
import pytest

from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution.explaining import explain_reference
from tests.monitors.kinds.attribution.leaning import model, weather


@pytest.fixture(scope="module")
def reference() -> Baseline:
    """A baseline of 3,000 rows, explained by the model as a function."""
    rows = weather(np.random.default_rng(1), 3_000)
    return explain_reference(open_source(rows), Baseline.fit(rows), model, background=5)
