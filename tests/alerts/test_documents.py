"""What documents share: names of fields, and what is refused."""

import tracemalloc

import pytest

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.errors import AlarmError, DetectorError, SilenceError
from driftline.alerts.math.detector import Detector
from driftline.alerts.notify.silence import Silence

HALF = "\ud800"


def test_a_key_that_is_half_a_character_is_refused_in_a_sentence():
    rule = {"alarm_name": "top", "alarm_rule": "TRUE"}
    with pytest.raises(AlarmError, match='alarm "top": a key has half a character'):
        CompositeDefinition.from_dict(rule | {HALF: 1})
    with pytest.raises(SilenceError, match='silence "work": a key has half a character'):
        Silence.read("work", {"alarm_names": ["a"], "schedule": {HALF: "x"}})


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
