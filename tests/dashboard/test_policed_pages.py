"""Composites, explanations, messages and silences on the pages, of a whole server."""

import itertools
from collections import Counter
from dataclasses import replace

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.alarms.records import get_alarm, history
from driftline.alerts.alarms.rule import Rule
from driftline.alerts.alarms.rule_tree import rule_lines
from driftline.alerts.evaluation.explain import explain
from driftline.alerts.math.band_models import BandModels
from driftline.dashboard.address import Address, parse
from driftline.dashboard.app import render
from driftline.dashboard.charts.alarm import alarm_figure
from driftline.dashboard.pages import alarm as alarm_page
from driftline.dashboard.pages import alerts
from driftline.dashboard.queries.notifications import (
    read_messages,
    read_silences,
)
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.policed_seed import (
    BROKEN,
    DRIFTS,
    ERRORS,
    LATENCY,
    LONELY,
    MAINTENANCE,
    texts,
)


@pytest.fixture
def stores(policed_site):
    return Stores(policed_site.engine, policed_site.root, policed_site.now)


@pytest.mark.parametrize("name", [BROKEN, LATENCY, ERRORS, MAINTENANCE, LONELY, *DRIFTS])
def test_alarms_of_every_kind_stand_in_the_list_and_have_a_page(stores, name):
    assert name in [line.name for line in stores.alarms().shown]

    page = render(stores, replace(parse("/alarms/x"), alarm=name))

    assert texts(page.children).count(name) >= 2
    assert "cannot be shown" not in texts(page.children)


def test_list_says_what_keeps_alarms_quiet(stores):
    quiet = {line.name: line.quiet for line in stores.alarms().shown}

    assert quiet[BROKEN] == ("waits for maintenance until 15 Jan 2026 06:02",)
    assert quiet[DRIFTS[0]] == ("silenced by roll-out until 1 Jan 2099 00:00",)
    assert quiet[LATENCY] == ()
    assert "◌ silenced by roll-out" in texts(alerts.alarms_page(stores.alarms()))


def test_list_is_narrowed_by_severity(stores):
    found = stores.alarms(severity="ticket").shown

    assert {line.name for line in found} == {ERRORS, DRIFTS[1]}


@pytest.mark.parametrize("name", [BROKEN, LATENCY, ERRORS, LONELY])
def test_page_says_what_explain_says(stores, policed_site, name):
    with policed_site.engine.connect() as connection:
        why = explain(connection, name, policed_site.now(), bands=BandModels())

    view = stores.alarm(name)

    assert view.why == why
    said = texts(render(stores, replace(parse("/alarms/x"), alarm=name)).children)
    assert why.decided[1:] in said
    assert why.next_evaluation in said


def test_alarm_without_data_is_told_the_mend(stores):
    said = texts(render(stores, replace(parse("/alarms/x"), alarm=LONELY)).children)

    assert "No datapoint was ever put for exactly these dimensions" in said
    assert "Shop latency {Service=checkout}" in said


def test_rule_is_a_tree_with_the_states_of_its_alarms(stores):
    view = stores.alarm(BROKEN)

    assert [(line.depth, line.text, line.holds) for line in view.lines] == [
        (0, "AND", True),
        (1, "OR", True),
        (2, f'ALARM("{LATENCY}")', True),
        (2, f'ALARM("{ERRORS}")', True),
        (1, "NOT", True),
        (2, f'AT_LEAST(1, ALARM, ("{MAINTENANCE}"))', False),
    ]
    states = [(name, state) for line in view.lines for name, state, _ in line.alarms]
    assert states == [(LATENCY, "ALARM"), (ERRORS, "ALARM"), (MAINTENANCE, "OK")]


def test_composite_says_who_suppresses_it_and_whose_part_it_is(stores):
    view = stores.alarm(BROKEN)

    assert (view.rule.suppressor_name, view.suppressor_state) == (MAINTENANCE, "OK")
    assert view.held == "waits for maintenance until 15 Jan 2026 06:02"
    said = texts(alarm_page.composite_page(view))
    assert "2 of 3 conditions hold" in said
    assert "Actions suppressed by WaitPeriod" in said


names = st.sampled_from(["a", "b", "c", "d"])
rules = st.recursive(
    names.map(lambda name: f'ALARM("{name}")'),
    lambda inner: st.one_of(
        inner.map(lambda one: f"NOT {one}" if one.startswith(("ALARM", "(")) else f"NOT ({one})"),
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda three: f"({three[0]} {three[1]} {three[2]})"
        ),
    ),
    max_leaves=12,
)


@given(rules, st.sets(names))
def test_first_line_of_a_tree_is_what_the_rule_comes_to(text, firing):
    rule = Rule.parse(text)
    states = {name: ("ALARM" if name in firing else "OK", None) for name in "abcd"}

    lines = rule_lines(rule, states)

    assert lines[0].holds == rule.holds({name: found[0] for name, found in states.items()})
    conditions = [line for line in lines if line.alarms]
    assert [line.text for line in conditions] == [one.text for one in rule.conditions]
    assert all(line.depth <= before.depth + 1 for before, line in itertools.pairwise(lines))


def test_a_rule_as_deep_as_cloudwatch_allows_is_drawn():
    deep = "NOT " * 2_000 + 'ALARM("a")'

    lines = rule_lines(Rule.parse(deep), {"a": ("ALARM", None)})

    assert len(lines) == 2_001
    assert lines[0].holds


def test_chart_of_metric_math_shows_what_was_worked_out(stores, policed_site):
    view = stores.alarm(ERRORS)

    values = Counter(round(point.value, 6) for point in view.points)
    # 100 × 6 ÷ 60 in 13 minutes, 100 × 1 ÷ 60 in the other 167.
    assert values == {10.0: 13, round(100 / 60, 6): 167}
    assert sum(point.breaching for point in view.points) == 13
    assert view.others == ()


def test_band_is_drawn_where_there_is_one(stores):
    view = stores.alarm(ERRORS)
    points = tuple(
        replace(point, lower=0.5, upper=2.5) if number % 2 else point
        for number, point in enumerate(view.points)
    )

    banded = replace(view, points=points, rule=view.rule.model_copy(update={"threshold": None}))
    figure = alarm_figure(banded.rule, banded.points, banded.spans)

    go.Figure(figure)
    band = {trace["name"]: trace for trace in figure["data"] if "name" in trace}
    assert set(band["upper"]["y"]) == {2.5}
    assert band["upper"]["fill"] == "tonexty"
    assert len(band["lower"]["x"]) == len(points) // 2
    assert "threshold" not in texts(alarm_page.page(banded).children[3])


def test_percentiles_are_drawn_as_they_are_judged(stores, policed_site):
    view = stores.alarm(LATENCY)

    with policed_site.engine.connect() as connection:
        assert get_alarm(connection, LATENCY).definition.extended_statistic == "p90"
        assert history(connection, LATENCY, type="StateUpdate")
    # Eight of ten samples are 80 ms; the 90th percentile is among the two slow ones.
    assert {point.value for point in view.points if point.breaching} == {400.0}
    assert min(point.value for point in view.points) == 200.0


def test_messages_are_counted_and_narrowed(stores):
    every, counts = read_messages(stores, Address("messages"))
    dead, _ = read_messages(stores, Address("messages", status="dead"))

    assert sum(counts.values()) >= len(every) > 0
    assert {one.status for one in dead} <= {"dead"}
    assert read_messages(stores, Address("messages", channel="none"))[0] == []
    said = texts(render(stores, parse("/messages", "?status=nothing")))
    assert "No notification matches this filter." in said


def test_silences_in_force_stand_first(stores):
    found, _ = read_silences(stores)

    ranks = [{"ACTIVE": 0, "SCHEDULED": 1, "EXPIRED": 2}[status] for _, status, _ in found]
    assert ranks == sorted(ranks)
    said = texts(render(stores, parse("/silences")))
    assert "roll-out" in said
    assert 'endpoint="flights"' in said


def test_overview_says_what_is_silenced_and_names_alarms_without_arns(stores):
    page = render(stores, parse("/"))

    said = texts(page)
    assert "◌ silenced by roll-out until 1 Jan 2099 00:00" in said
    assert "maintenance transitioned to OK" in said
    assert "arn:aws" not in said
