from datetime import UTC, datetime

import pytest

from driftline.serving.resources.served_models import deployed_at, served_by
from driftline.serving.resources.store import Stored


def at(day):
    return dict.fromkeys(("since", "begun"), f"2026-01-0{day}T00:00:00+00:00")


LINES = [
    (1, {"blue": "1"}, {}),
    (2, {"blue": "1"}, {"green": "2"}),
    (3, {"green": "2"}, {}),
    (4, {}, {}),
    (5, {"green": "2"}, {}),
]
MADE = {
    "served": [
        {**at(day), "variants": variants, "shadows": shadows} for day, variants, shadows in LINES
    ]
}


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        # Callers got no answers of a shadow, nor of none.
        (None, [(1, {"1"}, {"1"}), (3, {"2"}, {"2"})]),
        ("blue", [(1, {"1"}, {"1"}), (3, set(), {"2"})]),
        ("green", [(1, set(), {"1"}), (2, {"2"}, {"1"}), (3, {"2"}, {"2"})]),
    ],
)
def test_models_are_told_of_callers_and_of_one_variant(variant, expected):
    found = served_by(MADE, variant)

    assert [(one.since, one.models, one.callers) for one in found] == [
        (datetime(2026, 1, day, tzinfo=UTC), models, callers) for day, models, callers in expected
    ]
    assert served_by({"signature": None}, variant) == []


def test_callers_get_no_variant_without_weight():
    both = {"blue": "1", "green": "2"}
    lines = [{"variants": both, "idle": ["green"]}, {"variants": both, "idle": ["blue"]}]
    made = {"served": [{**at(day), "shadows": {}, **line} for day, line in enumerate(lines, 1)]}

    assert [one.models for one in served_by(made, None)] == [{"1"}, {"2"}]
    green = [(one.models, one.callers) for one in served_by(made, "green")]
    assert green == [({"2"}, {"1"}), ({"2"}, {"2"})]


@pytest.mark.parametrize(
    ("made", "day"), [(MADE, 3), ({"served": MADE["served"][:1]}, 1), ({"signature": None}, 9)]
)
def test_the_last_deployment_is_when_other_models_came_or_the_last_change(made, day):
    changed = datetime(2026, 1, 9, tzinfo=UTC)
    endpoint = Stored("Endpoint", "e", None, {}, {}, made, updated_at=changed)

    assert deployed_at(endpoint) == datetime(2026, 1, day, tzinfo=UTC)
