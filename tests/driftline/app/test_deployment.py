"""What goes with an endpoint is found by what needs it, and nothing that others need."""

from typing import Any, cast

import pytest

from driftline.app.client.client import Client
from driftline.app.deployment import belongings
from driftline.errors import ConflictError

RESOURCES: dict[str, dict[str, dict[str, Any]]] = {
    "Endpoint": {
        "Shop": {"config": "shop", "baseline": "shop"},
        "twin": {"production_variants": [{"model_name": "shop"}], "baseline": None},
    },
    "EndpointConfig": {"shop": {"production_variants": [{"model_name": "shop"}]}},
    "Baseline": {"shop": {"model": "shop"}, "other": {"model": None}},
    "Model": {"shop": {}},
    "Monitor": {
        "shop-data-quality": {"endpoint": "Shop", "baseline": "shop", "depends_on": []},
        "elsewhere": {"endpoint": "twin", "baseline": "other", "depends_on": []},
    },
    "Alarm": {
        "shop: drift": {"dimensions": {"Endpoint": "shop", "MonitoringSchedule": "x"}},
        "by monitor": {"dimensions": {"MonitoringSchedule": "shop-data-quality"}},
        "of the other": {"dimensions": {"Endpoint": "twin"}},
    },
    "CompositeAlarm": {
        "shop": {"alarm_rule": 'ALARM("shop: drift") OR ALARM("by monitor")'},
        "quiet shop": {"alarm_rule": "ALARM(shop)", "actions_suppressor": "shop: drift"},
    },
}


class Stored:
    """Answers as a client does, from the resources above."""

    def get(self, kind: str, name: str) -> dict[str, Any]:
        stored = next(one for one in RESOURCES[kind] if one.lower() == name.lower())
        return {"name": stored, "spec": RESOURCES[kind][stored]}

    def list(self, kind: str) -> list[dict[str, Any]]:
        return [self.get(kind, name) for name in RESOURCES[kind]]


def test_what_something_else_needs_stays() -> None:
    found = belongings(cast(Client, Stored()), "shop")

    # Each behind all that needs it.
    assert [one for one in found if one[0] not in ("Baseline", "Monitor")] == [
        ("CompositeAlarm", "quiet shop"),
        ("CompositeAlarm", "shop"),
        ("Alarm", "shop: drift"),
        ("Alarm", "by monitor"),
        ("Endpoint", "Shop"),
        ("EndpointConfig", "shop"),
    ]
    order = [("Alarm", "by monitor"), ("Monitor", "shop-data-quality"), ("Endpoint", "Shop")]
    assert sorted([*order, ("Baseline", "shop")], key=found.index)[:3] == order


def test_monitors_go_before_those_that_they_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, others in (("b", ["shop-data-quality", "c"]), ("c", ["shop-data-quality"])):
        spec = {"endpoint": "shop", "baseline": "shop", "depends_on": others}
        monkeypatch.setitem(RESOURCES["Monitor"], name, spec)

    found = [name for kind, name in belongings(cast(Client, Stored()), "shop") if kind == "Monitor"]

    assert found == ["b", "c", "shop-data-quality"]


def test_an_endpoint_without_a_baseline_goes_alone() -> None:
    assert belongings(cast(Client, Stored()), "twin") == [
        ("Alarm", "of the other"),
        ("Monitor", "elsewhere"),
        ("Endpoint", "twin"),
    ]


def test_a_composite_alarm_on_others_too_is_said_before_anything_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = {"alarm_rule": 'ALARM("of the other") AND ALARM(shop)'}
    monkeypatch.setitem(RESOURCES["CompositeAlarm"], "both", rule)

    with pytest.raises(ConflictError) as refused:
        belongings(cast(Client, Stored()), "shop")

    assert str(refused.value).startswith('CompositeAlarm "both" needs "shop" and "of the other"')
