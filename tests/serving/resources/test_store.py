"""Rows of resources: what servers read of them again, and what needs what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from driftline.serving.resources import store
from driftline.serving.resources.store import Stored
from tests.servers.postgres import both_databases

NOW = datetime(2026, 1, 15, tzinfo=UTC)


def stored(kind: Any, name: str, spec: dict[str, Any], **fields: Any) -> Stored:
    return Stored(kind, name, None, {}, spec, fields.pop("made", {}), **fields)


def variant(model: str) -> dict[str, Any]:
    return {"production_variants": [{"variant_name": "v", "model_name": model}]}


@both_databases
def test_servers_read_the_endpoints_that_have_changed_alone(engine: Any) -> None:
    def seen(since: int) -> tuple[int, list[str], set[str]]:
        rows, keys = store.list_changed(connection, since)
        return store.changes(connection), sorted(row.name for row in rows), keys

    with engine.begin() as connection:
        for name in ("One", "two", "three"):
            store.put_row(connection, stored("Endpoint", name, variant("m")), NOW)
        first = seen(-1)
        store.write(connection, stored("Endpoint", "ONE", {}), made={"spec": {}})
        store.put_row(connection, stored("Model", "m", {}), NOW)
        store.delete_row(connection, "Endpoint", "two")
        second = seen(first[0])
        store.put_row(connection, stored("Endpoint", "two", variant("m")), NOW)
        third = seen(second[0])

    assert first[1:] == (["One", "three", "two"], {"one", "two", "three"})
    assert second[1:] == (["One"], {"one", "three"})
    assert third[1:] == (["two"], {"one", "two", "three"})
    assert first[0] < second[0] < third[0]


@both_databases
def test_what_needs_a_resource_is_found_in_any_case_and_through_containers(engine: Any) -> None:
    line = {"mode": "Serial", "containers": [{"model_name": "Part", "container_hostname": None}]}
    actions = {"alarm_actions": ["arn:aws:sns:eu-west-1:123456789012:on_call"]}
    alarm = {**actions, "ok_actions": [], "insufficient_data_actions": []}
    with engine.begin() as connection:
        for row in (
            stored("Model", "part", {}),
            stored("Model", "line", line),
            stored("Endpoint", "declares", variant("LINE")),
            stored("Endpoint", "runs", variant("other"), made={"spec": variant("line")}),
            stored("Endpoint", "lines", variant("part-2")),
            stored("Alarm", "cpu", alarm),
        ):
            store.put_row(connection, row, NOW)
        models = [row.name for row in store.users_of(connection, "Model", "PART")]
        alarms = [row.name for row in store.users_of(connection, "Channel", "on-call")]
        none = store.users_of(connection, "EndpointConfig", "any")

    assert models == ["line", "declares", "runs"]
    assert (alarms, none) == (["cpu"], [])
