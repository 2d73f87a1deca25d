"""Alarms of all kinds by API and Python, on a running server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from itertools import product
from typing import Any

import pytest

from driftline.alerts.alarms.records import hold_for_change
from driftline.errors import ConflictError, InputError, NotFoundError
from tests.serving.alarm_yard import METRIC, client, server, yard

__all__ = ["client", "server", "yard"]  # The fixtures.


def test_composites_are_declared_in_any_order_and_the_same_twice_changes_nothing(yard, declare):
    again = yard.apply([declare("CompositeAlarm", "both", alarm_rule='ALARM("a b") AND ALARM(c)')])

    assert [one["action"] for one in again["changes"]] == ["unchanged"]
    found = yard.get("CompositeAlarm", "top")
    assert found["spec"]["alarm_rule"] == "ALARM(both)"
    assert found["status"]["state_value"] == "OK"
    assert [one["name"] for one in yard.list("composite-alarms")] == ["both", "top"]


@pytest.mark.parametrize("is_dry", [True, False])
def test_a_rule_on_nothing_is_refused_before_anything_is_stored(yard, declare, is_dry):
    wrong = declare("CompositeAlarm", "wrong", alarm_rule="ALARM(gone) OR ALARM(c)")

    with pytest.raises(InputError, match=r"alarms \[gone\] in the alarm rule do not exist"):
        yard.apply([wrong], dry_run=is_dry)
    with pytest.raises(NotFoundError):
        yard.alarm("wrong")


def test_a_rule_that_cannot_be_read_is_refused_with_the_place(yard, declare):
    with pytest.raises(InputError, match='CompositeAlarm "wrong": AlarmRule ends; expected a cond'):
        yard.apply([declare("CompositeAlarm", "wrong", alarm_rule="ALARM(c) AND")])


def test_names_are_unique_over_both_kinds(yard, declare):
    with pytest.raises(ConflictError, match="a metric alarm has this name"):
        yard.apply([declare("CompositeAlarm", "c", alarm_rule="TRUE")])
    with pytest.raises(ConflictError, match="a composite alarm has this name"):
        yard.apply([declare("Alarm", "both", **METRIC)])


def test_a_state_that_is_set_goes_up_through_the_composites_with_its_actions(yard):
    yard.set_alarm_state("c", "ALARM", "a drill")

    changes = yard.set_alarm_state("a b", "ALARM", "a drill", reason_data='{"why": 1}')

    assert [(one["alarm_name"], one["new"]) for one in changes] == [
        ("a b", "ALARM"),
        ("both", "ALARM"),
        ("top", "ALARM"),
    ]
    found = yard.alarm("a b")
    assert (found["kind"], found["state_value"]) == ("metric", "ALARM")
    assert (found["state_reason"], found["state_reason_data"]) == ("a drill", '{"why": 1}')
    assert {one["channel"] for one in yard.explain_alarm("top")["actions"]} == {"pager"}
    assert yard.set_alarm_state("a b", "ALARM", "again") == []
    assert yard.alarm("a b")["state_reason"] == "again"
    told = yard.alarm_history("top", type="StateUpdate", limit=2)
    assert [one["history_summary"] for one in told] == [
        "Alarm updated from OK to ALARM",
        "Alarm updated from INSUFFICIENT_DATA to OK",
    ]


@pytest.mark.parametrize(
    ("state", "reason", "data", "sentence"),
    [
        ("FIRING", "why", None, 'state "FIRING"; expected one of OK, ALARM, INSUFFICIENT_DATA'),
        ("OK", "x" * 1024, None, "reason of 1024 characters; expected 1023"),
        ("OK", "why", "{", "reason data; expected JSON"),
        ("OK", "why", '"' + "x" * 4000 + '"', "reason data of 4002 characters"),
    ],
    ids=["state", "reason", "json", "length"],
)
def test_a_wrong_state_is_refused(yard, state, reason, data, sentence):
    with pytest.raises(InputError, match=sentence):
        yard.set_alarm_state("c", state, reason, reason_data=data)


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
@pytest.mark.parametrize("key", ["start", "end"])
def test_times_past_the_calendar_are_refused(server, yard, key, time):
    response = server.client.get("/api/v1/alarms/c/history", params={key: time})

    assert response.status_code == 400
    assert "expected one within the years 1 to 9999" in server.error_of(response)["message"]


@pytest.mark.parametrize("last", ["state", "explain", "history"])
def test_a_name_that_ends_like_a_route_is_a_name(yard, declare, last):
    yard.apply([declare("Alarm", f"c/{last}", **METRIC)])

    assert yard.get("Alarm", f"c/{last}")["name"] == f"c/{last}"
    assert yard.alarm(f"c/{last}")["alarm_name"] == f"c/{last}"
    assert yard.alarm("c")["alarm_name"] == "c"
    yard.delete_alarm(f"c/{last}")


@pytest.mark.parametrize("is_dry", [True, False])
@pytest.mark.parametrize("name", ["gone", "x" * 300])
def test_a_suppressor_that_does_not_exist_is_refused_before_anything_is_stored(
    yard, declare, name, is_dry
):
    periods = {f"actions_suppressor_{word}_period": 60 for word in ("wait", "extension")}
    wrong = declare(
        "CompositeAlarm", "wrong", alarm_rule="ALARM(c)", actions_suppressor=name, **periods
    )

    with pytest.raises(InputError, match=r'actions_suppressor "(gone|x{60})" does not exist'):
        yard.apply([wrong], dry_run=is_dry)
    with pytest.raises(NotFoundError):
        yard.alarm("wrong")


@pytest.mark.parametrize(
    ("key", "value"), [("", "x"), ("k" * 129, "x"), ("k", "v" * 257)], ids=["empty", "key", "value"]
)
@pytest.mark.parametrize("name", ["top", "c"])
def test_tags_are_as_short_as_cloudwatchs(yard, declare, name, key, value):
    with pytest.raises(InputError, match=f'^alarm "{name}": tag ".*expected a key of 1 to 128'):
        yard.tag_alarm(name, {key: value})
    declared = {
        "top": declare("CompositeAlarm", "top", alarm_rule="TRUE"),
        "c": declare("Alarm", "c", **METRIC),
    }
    with pytest.raises(InputError, match="expected a key of 1 to 128 characters"):
        yard.apply([declared[name] | {"tags": {key: value}}], dry_run=True)


def test_an_error_of_a_composite_names_it_once(yard, declare):
    with pytest.raises(InputError, match=r'^CompositeAlarm "top": description of 1025 characters'):
        yard.apply(
            [declare("CompositeAlarm", "top", alarm_rule="TRUE", alarm_description="x" * 1025)]
        )


@pytest.mark.parametrize("value", ["1e999", "1" + "0" * 400, "true", "{}"])
def test_any_data_of_a_state_that_was_set_is_explained(yard, value):
    times = ("2026-01-15T05:59", "9999-12-31T23:59", "0001-01-01T00:00")
    for time, zone in product(times, ("+0000", "-2300", "+2300")):
        point = f'{{"timestamp": "{time}:00.000{zone}", "value": {value}}}'
        data = f'{{"evaluatedDatapoints": [{point}]}}'
        yard.set_alarm_state("c", "OK", "")
        yard.set_alarm_state("c", "ALARM", "", reason_data=data)

        assert yard.alarm("c")["state_reason_data"] == data
        assert yard.explain_alarm("c")["state"] == "ALARM"


def names(items: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in items]


def test_alarms_are_listed_by_what_is_asked(server, yard):
    assert names(yard.alarms()) == ["a b", "both", "c", "top"]
    assert names(yard.alarms(kind="composite")) == ["both", "top"]
    assert names(yard.alarms(state="INSUFFICIENT_DATA")) == ["a b", "c"]
    assert names(yard.alarms(prefix="a")) == ["a b"]
    assert names(yard.alarms(prefix="A")) == []
    assert names(yard.alarms(prefix="%")) == []
    assert names(yard.alarms(channel="pager")) == ["a b", "top"]
    assert names(yard.alarms(tags={"team": "ops"})) == ["a b"]
    assert names(yard.alarms(parents_of="c")) == ["both"]
    assert names(yard.alarms(children_of="both")) == ["a b", "c"]
    assert names(yard.alarms(limit=3)) == ["a b", "both", "c"]
    wrong = server.client.get("/api/v1/alarm-states", params={"tag": "team"})
    assert (wrong.status_code, "expected KEY=VALUE" in wrong.text) == (400, True)


def test_questions_wait_for_no_writer(server, yard):
    with server.engine.begin():
        assert names(yard.alarms(kind="composite")) == ["both", "top"]
        assert yard.alarm("top")["name"] == "top"
        assert yard.explain_alarm("a b")["name"] == "a b"
        assert yard.alarm_history("top", limit=1)


def test_actions_are_switched_all_or_none(yard):
    with pytest.raises(NotFoundError, match='"gone" does not exist'):
        yard.switch_alarm_actions("top", "gone", enabled=False)
    assert yard.alarm("top")["actions_enabled"] is True

    yard.switch_alarm_actions("top", "a b", enabled=False)

    assert [yard.alarm(name)["actions_enabled"] for name in ("top", "a b")] == [False, False]
    assert yard.get("CompositeAlarm", "top")["status"]["actions_enabled"] is False
    assert yard.alarm_history("top", type="ConfigurationUpdate", limit=1)[0]["history_summary"] == (
        'Alarm "top" updated'
    )


def test_alarms_that_are_applied_wait_for_who_changes_several(
    start, declare, tmp_path, database_url
):
    with start(tmp_path, database=database_url) as server:
        assert server.apply(*(declare("Alarm", name, **METRIC) for name in "ab")).is_success
        changed = [declare("Alarm", name, **METRIC | {"threshold": 1}) for name in "ba"]
        with ThreadPoolExecutor(1) as pool:
            with server.engine.begin() as connection:
                hold_for_change(connection, ["a"])
                applied = pool.submit(server.apply, *changed)
                # As long as it takes to be stuck; what is locked in another order locks up.
                assert wait([applied], timeout=0.5).not_done
                hold_for_change(connection, ["b"])
            assert applied.result().status_code == 200


def test_tags_are_added_and_removed(yard):
    assert yard.tag_alarm("a b", {"tier": "1"}, without=["team", "none"]) == {"tier": "1"}
    assert yard.alarm("a b")["tags"] == {"tier": "1"}
    with pytest.raises(InputError, match="51 tags"):
        yard.tag_alarm("top", {f"k{number}": "" for number in range(51)})


def test_what_a_composite_looks_at_is_not_deleted(yard):
    for name in ("c", "both"):
        with pytest.raises(ConflictError, match=f"Cannot delete {name} as there are composite ala"):
            yard.delete_alarm(name)
    yard.delete_alarm("top")
    yard.delete_alarm("both")
    yard.delete_alarm("c")

    assert names(yard.alarms()) == ["a b"]
    assert yard.alarm_history("both", limit=1)[0]["history_data"]["type"] == "Delete"


def test_history_can_be_cut_by_time_and_turned(yard):
    yard.set_alarm_state("c", "OK", "one")
    items = yard.alarm_history("c", order="oldest")
    end = datetime.fromisoformat(items[0]["timestamp"])

    assert [one["history_item_type"] for one in items][-1] == "StateUpdate"
    assert yard.alarm_history("c", end=end) == []
    assert len(yard.alarm_history("c", start=end)) == len(items)


def test_unknown_alarms_and_questions_are_refused_in_the_one_form(server, yard):
    for method, path, body, status in (
        ("GET", "/api/v1/alarms/gone/state", None, 404),
        ("GET", "/api/v1/alarms/gone/explain", None, 404),
        ("PUT", "/api/v1/alarms/gone/state", {"state_value": "OK", "state_reason": ""}, 404),
        ("PUT", "/api/v1/alarms/c/state", {"state_value": "OK"}, 400),
        ("POST", "/api/v1/alarms/actions", {"names": [], "enabled": True}, 400),
        ("PATCH", "/api/v1/alarms/gone/tags", {"tags": {}}, 404),
        ("GET", "/api/v1/alarm-states?state=FIRING", None, 400),
        ("GET", "/api/v1/alarm-states?limit=0", None, 400),
        ("GET", "/api/v1/alarm-states?unknown=1", None, 400),
        ("GET", "/api/v1/alarms/c/history?type=Other", None, 400),
        ("GET", "/api/v1/alarms/c/history?start=2026-01-01", None, 400),
    ):
        response = server.client.request(method, path, json=body)
        assert response.status_code == status, (path, response.text)
        assert server.error_of(response)
