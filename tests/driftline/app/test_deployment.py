"""What goes with an endpoint is found by what needs it, and nothing that others need."""

from typing import Any, cast

from driftline.app.client.client import Client
from driftline.app.deployment import belongings

RESOURCES: dict[str, dict[str, dict[str, Any]]] = {
    "Endpoint": {
        "shop": {"model": "shop", "baseline": "shop"},
        "twin": {"model": "shop", "baseline": None},
    },
    "Baseline": {"shop": {"model": "shop"}, "other": {"model": None}},
    "Model": {"shop": {}},
    "Monitor": {
        "shop-data-quality": {"endpoint": "Shop", "baseline": "shop"},
        "elsewhere": {"endpoint": "twin", "baseline": "other"},
    },
    "Alarm": {
        "shop: drift": {"dimensions": {"Endpoint": "shop", "MonitoringSchedule": "x"}},
        "by monitor": {"dimensions": {"MonitoringSchedule": "shop-data-quality"}},
        "of the other": {"dimensions": {"Endpoint": "twin"}},
    },
}


class Stored:
    """Answers as a client does, from the resources above."""

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return {"name": name, "spec": RESOURCES[kind][name]}

    def list(self, kind: str) -> list[dict[str, Any]]:
        return [self.get(kind, name) for name in RESOURCES[kind]]


def test_what_something_else_needs_stays() -> None:
    found = belongings(cast(Client, Stored()), "shop")

    assert found == [
        ("Alarm", "shop: drift"),
        ("Alarm", "by monitor"),
        ("Monitor", "shop-data-quality"),
        ("Endpoint", "shop"),
        ("Baseline", "shop"),
    ]


def test_an_endpoint_without_a_baseline_goes_alone() -> None:
    assert belongings(cast(Client, Stored()), "twin") == [
        ("Alarm", "of the other"),
        ("Monitor", "elsewhere"),
        ("Endpoint", "twin"),
    ]
