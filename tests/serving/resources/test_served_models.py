from datetime import UTC, datetime

import pytest

from driftline.serving.resources.served_models import deployed_at
from driftline.serving.resources.store import Stored


def at(day):
    return {"since": f"2026-01-0{day}T00:00:00+00:00"}


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
    ("made", "day"), [(MADE, 3), ({"served": MADE["served"][:1]}, 1), ({"signature": None}, 9)]
)
def test_the_last_deployment_is_when_other_models_came_or_the_last_change(made, day):
    changed = datetime(2026, 1, 9, tzinfo=UTC)
    endpoint = Stored("Endpoint", "e", None, {}, {}, made, updated_at=changed)

    assert deployed_at(endpoint) == datetime(2026, 1, day, tzinfo=UTC)
