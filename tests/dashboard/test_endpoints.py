"""Endpoints that are declared and not monitored yet: the fleet, and their set-up."""

import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import plotly.utils
import pytest
import yaml

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.states import set_state
from driftline.alerts.metrics.variants import Variant
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.dashboard.address import (
    parse,
)
from driftline.dashboard.app import render
from driftline.dashboard.pages.endpoint import _set_up
from driftline.dashboard.pages.traffic import traffic_panels
from driftline.dashboard.queries.fleet import EndpointView
from driftline.dashboard.queries.stores import UNDECLARED, Stores
from driftline.dashboard.queries.views import EndpointLine
from driftline.serving.resources.resources import parse_resources
from tests.dashboard.seed import make_engine

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)


def drawn(stores: Stores, path: str) -> str:
    asked, _, query = path.partition("?")
    return json.dumps(render(stores, parse(asked, query)), cls=plotly.utils.PlotlyJSONEncoder)


@pytest.fixture
def engine(tmp_path):
    found = make_engine(tmp_path / "driftline.db")
    yield found
    found.dispose()


def test_an_endpoint_that_is_declared_alone_is_on_the_fleet_and_leads_to_its_set_up(
    engine, tmp_path
):
    tags = {"tier": "gold", "cost-centre": "4711"}
    named = {"fresh": ("trained", NOW - DAY, "crm team", tags), "bare": UNDECLARED}
    stores = Stores(engine, str(tmp_path), lambda: NOW, declared=lambda: named)

    fleet = drawn(stores, "/")
    assert f'"dateTime": "{NOW - DAY:%Y-%m-%dT%H:%M:%SZ}"' in fleet  # Its last deployment.
    assert all(f'"/endpoints/fresh/{tab}"' in fleet for tab in ("drift", "quality", "fairness"))
    assert "baseline: trained" in drawn(stores, "/endpoints/fresh/drift")
    assert "baseline: NAME" in drawn(stores, "/endpoints/bare/drift")
    assert "crm team" in fleet
    head = drawn(stores, "/endpoints/fresh")
    assert all(one in head for one in ("owner crm team", "tier=gold", "cost-centre=4711"))
    for text in ("CRM", "gold", "cost-centre=4711"):
        assert [one.name for one in stores.overview(text=text).shown] == ["fresh"]


RULE = {
    "namespace": "AWS/SageMaker", "metric_name": "Invocations", "statistic": "Sum", "period": 60,
    "dimensions": {"EndpointName": "fresh"}, "evaluation_periods": 1, "threshold": 1,
    "comparison_operator": "GreaterThanThreshold",
}  # fmt: skip


@pytest.fixture
def firing(engine, tmp_path):
    """Return stores where all fire: an alarm, one that scales, and composites of the first."""
    rules = {"either": 'ALARM("busy")', "page us": 'ALARM("either")', "elsewhere": 'ALARM("far")'}
    scaling = {"alarm_actions": ["scaling:fresh/AllTraffic/many"]}
    more = {"busy": {}, "to scale": scaling, "far": {"dimensions": {"EndpointName": "far"}}}
    with engine.begin() as connection:
        for name, fields in more.items():
            rule = AlarmDefinition.from_dict({"alarm_name": name, **RULE, **fields})
            put_alarm(connection, rule, NOW)
        composites = [
            CompositeDefinition.from_dict({"alarm_name": name, "alarm_rule": rule})
            for name, rule in rules.items()
        ]
        put_composites(connection, composites, NOW)
        for name in (*more, *rules):
            set_state(connection, name, "ALARM", "as asked", NOW)
    declared = {"fresh": UNDECLARED, "far": UNDECLARED}
    return Stores(engine, str(tmp_path), lambda: NOW, declared=lambda: declared)


def test_what_only_scales_is_no_trouble_and_a_composite_is_its_endpoints(firing):
    endpoint, fleet = firing.endpoint(parse("/endpoints/fresh")), firing.overview()

    assert {one.name for one in endpoint.alarms.shown} == {"busy", "either", "page us"}
    assert {one.name: one.firing for one in fleet.endpoints} == {"fresh": 3, "far": 2}
    assert {one.name for one in fleet.alarms.shown} == {
        "busy", "either", "page us", "far", "elsewhere"
    }  # fmt: skip
    assert "5 alarms are firing" in drawn(firing, "/")
    assert "5 firing" in drawn(firing, "/alarms")
    listed = firing.alarms("ALARM", "fresh")
    quiet = {one.name: one.quiet for one in listed.shown}
    assert quiet.keys() == {"busy", "to scale", "either", "page us"}
    assert quiet["to scale"] == ("scales, and notifies nobody",)


def test_the_page_of_traffic_says_how_far_a_deployment_is_and_which_workers_are_new():
    deployment = {
        "stage": "RollingBack", "step": 2, "steps": 4, "share": 0.25, "old_generation": 6,
        "generation": 7, "since": NOW.isoformat(), "deadline": (NOW + DAY).isoformat(),
        "ended_at": None, "reason": 'alarm "drift" is in ALARM', "alarms": ["drift"],
    }  # fmt: skip
    served = tuple(Variant("blue", "m", 0.5, 1, is_new=one) for one in (False, True))
    view = EndpointView(
        NOW, EndpointLine("flights"), "traffic", None, served=served, deployment=deployment
    )

    panels = json.dumps(traffic_panels(view), cls=plotly.utils.PlotlyJSONEncoder)

    for words in (
        "RollingBack, step 2 of 4", "6 to 7", "25.0% of the requests", "old workers", "new workers",
        'Alarm \\"drift\\" is in ALARM.', "/alarms/drift",
    ):  # fmt: skip
        assert words in panels, words


def test_the_set_up_says_what_the_baseline_lacks_in_place_of_what_can_never_judge(engine, tmp_path):
    rows = pd.DataFrame({"late": [0, 1] * 20, "said": [0, 1, 1, 1] * 10, "age": range(40)})
    made = Baseline.fit(rows, label="late", prediction="said", positive=1)
    versions.put(str(tmp_path), "trained", made, lambda: NOW)
    named = {"fresh": ("trained", NOW, None, {})}
    stores = Stores(engine, str(tmp_path), lambda: NOW, declared=lambda: named)

    fairness, quality = (
        drawn(stores, f"/endpoints/fresh/{tab}") for tab in ("fairness", "quality")
    )

    # In the words of `driftline deploy`.
    assert "Not monitored: bias: the reference needs groups to compare and answers" in fairness
    assert "a facet, and a label or a prediction in the spec of the baseline" in fairness
    assert '"/baselines/trained"' in fairness
    assert "kind: Monitor" not in fairness
    assert "kind: Monitor" in quality
    assert "start: 2026-10-21T00:00Z" in quality  # 30 days ago: what is captured is judged.


@pytest.mark.parametrize("kind", ["data-quality", "model-quality", "bias", "attribution"])
@pytest.mark.parametrize("name", ["e", "e" * 63, "e" * 51 + "--" + "e" * 10])
def test_the_set_up_s_resource_is_one_that_apply_takes(engine, tmp_path, name, kind):
    stores = Stores(engine, str(tmp_path), lambda: NOW, declared=lambda: {name: UNDECLARED})
    line = EndpointLine(name)
    view = EndpointView(NOW, line, "", stores.overview().alarms, baseline="b")

    text = next(one for one in _walk(_set_up(view, "Bias", kind)) if "kind: Monitor" in one)

    (resource,) = parse_resources([yaml.safe_load(text)])
    assert resource.name.endswith(kind)
    assert resource.spec.start == datetime(2026, 10, 21, tzinfo=UTC)


def _walk(part):
    if isinstance(part, str):
        yield part
    children = getattr(part, "children", None)
    for one in children if isinstance(children, list | tuple) else [children] * bool(children):
        yield from _walk(one)
