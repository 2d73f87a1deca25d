"""What documents share: names of fields, and what is refused."""

import pytest

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.errors import AlarmError, SilenceError
from driftline.alerts.notify.silence import Silence

HALF = "\ud800"


def test_a_key_that_is_half_a_character_is_refused_in_a_sentence():
    rule = {"alarm_name": "top", "alarm_rule": "TRUE"}
    with pytest.raises(AlarmError, match='alarm "top": a key has half a character'):
        CompositeDefinition.from_dict(rule | {HALF: 1})
    with pytest.raises(SilenceError, match='silence "work": a key has half a character'):
        Silence.read("work", {"alarm_names": ["a"], "schedule": {HALF: "x"}})
