"""Definitions of composite alarms, and the example of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.errors import AlarmError

PAGE = Path(__file__).parents[3] / "docs" / "composites.md"
WAITS = {"actions_suppressor_wait_period": 60, "actions_suppressor_extension_period": 60}


def test_the_documented_example_is_read():
    block, _ = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = yaml.safe_load(block)
    rule = found["spec"]["alarm_rule"].strip()

    made = CompositeDefinition.from_dict(
        {"alarm_name": found["name"], **found["spec"], "alarm_rule": rule}
    )

    assert made.rule.names == (
        "model: broken input",
        "model: drift",
        "model: quality",
        "model: bias",
        "deployment",
    )
    assert made.suppressor_name == "maintenance"


def test_putcompositealarms_own_names_are_taken_and_plain_values_give_it_back():
    made = CompositeDefinition.from_dict(
        {
            "AlarmName": "one",
            "AlarmRule": "ALARM(a)",
            "OKActions": ["pager"],
            "ActionsEnabled": False,
            "ActionsSuppressor": "arn:aws:cloudwatch:eu-west-1:1:alarm:sup",
            "ActionsSuppressorWaitPeriod": 0,
            "ActionsSuppressorExtensionPeriod": 60,
            "ActionConfiguration": {
                "AlarmTagsPropagation": {"Enabled": True, "IncludedTagKeys": ["team"]}
            },
            "AlarmDescription": None,
            "Tags": [{"Key": "team", "Value": "ops"}, {"Key": "cost", "Value": "1"}],
        }
    )

    assert made.ok_actions == ("pager",)
    assert made.suppressor_name == "sup"
    assert made.tags == {"team": "ops", "cost": "1"}
    assert made.propagated_tags == {"team": "ops"}
    assert CompositeDefinition.from_dict(made.as_dict()) == made
    assert made.channel_names == {"pager"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"alarm_rule": None}, 'alarm "one": alarm_rule None; expected text'),
        ({"period": 60}, 'unknown key "period"'),
        ({"AlarmRule": "FALSE"}, '"AlarmRule" and "alarm_rule"; expected one of them'),
        ({"action_configuration": {"other": 1}}, "expected alarm_tags_propagation"),
        ({"alarm_name": ""}, "alarm name ''; expected 1 to 255"),
        ({"alarm_name": "a\n"}, "without control characters"),
        (
            {"alarm_description": "x" * 1025},
            "description of 1025 characters; expected 1024 or fewer",
        ),
        ({"actions_enabled": "yes"}, "actions_enabled 'yes'; expected true or false"),
        ({"severity": "loud"}, 'severity "loud"; expected page or ticket'),
        ({"ok_actions": "pager"}, "ok_actions 'pager'; expected a list of channel names"),
        ({"alarm_actions": ["scaling:a/b/c"]}, "is a scaling policy; name it in a metric alarm"),
        ({"ok_actions": ["a", "a"]}, "2 actions for OK; expected 5 or fewer, each once"),
        ({"tags": {"a": 1}}, "expected an object of texts"),
        (
            {"actions_suppressor": "sup"},
            "actions_suppressor_wait_period is missing; expected whole sec",
        ),
        ({"actions_suppressor": "one", **WAITS}, "it is its own actions_suppressor"),
        ({"actions_suppressor": "", **WAITS}, "expected the name or ARN of an alarm"),
        (
            {"actions_suppressor": "sup", **WAITS, "actions_suppressor_extension_period": -1},
            "actions_suppressor_extension_period -1; expected whole seconds from 0",
        ),
        (
            {"actions_suppressor": "sup", **WAITS, "actions_suppressor_wait_period": True},
            "actions_suppressor_wait_period True; expected whole seconds",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_definition_is_refused_in_a_sentence(more, sentence):
    with pytest.raises(AlarmError) as raised:
        CompositeDefinition.from_dict({"alarm_name": "one", "alarm_rule": "TRUE"} | more)

    assert sentence in str(raised.value)
