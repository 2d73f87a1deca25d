"""What documents share: names of fields, and what is refused."""

import tracemalloc

import pytest

from driftline.alerts.errors import DetectorError
from driftline.alerts.math.detector import Detector


def test_nothing_is_kept_of_long_names_that_are_no_fields():
    tracemalloc.start()
    try:
        for number in range(10):
            with pytest.raises(DetectorError, match="unknown field"):
                Detector.from_dict({f"{number}{'a' * 1_000_000}": 1})
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 2_000_000
