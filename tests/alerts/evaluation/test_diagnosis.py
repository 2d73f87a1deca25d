"""What hinders a state, and the mend: said of metrics, expressions and bands."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.alerts.evaluation.desk import Desk


@pytest.fixture
def desk(engine, clock) -> Desk:
    clock.time = clock.time.replace(second=0)
    return Desk(engine, clock)


def test_a_misspelt_name_is_found_too(desk):
    desk.alarm(metric_name="load", namespace="Own/Apps")
    desk.add(0.9)

    (finding,) = desk.explain().findings

    assert (finding.similar[0].namespace, finding.similar[0].name) == ("Own/App", "Load")
    assert "did you mean Own/App Load" in finding.mend


def test_a_wrong_unit_is_told_with_the_right_one(desk):
    desk.alarm(unit="Seconds")
    desk.add(0.9, 0.9, 0.9, unit="Milliseconds")

    (finding,) = desk.explain().findings

    assert finding.code == "unit"
    assert finding.problem == "the alarm wants unit Seconds; the datapoints have Milliseconds"
    assert finding.mend.startswith("set unit to Milliseconds")


def test_a_metric_that_stopped_is_told_with_the_time(desk):
    desk.alarm()
    desk.add(*[0.9] * 10)
    stopped_at = desk.clock() - timedelta(minutes=1)
    desk.clock.advance(hours=1)

    (finding,) = desk.explain().findings

    assert finding.code == "stopped"
    assert f"{stopped_at:the metric stopped at %Y-%m-%d %H:}" in finding.problem
