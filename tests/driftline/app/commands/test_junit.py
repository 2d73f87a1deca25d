"""A report as JUnit XML, held against the schema of Jenkins' xUnit plug-in."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.app.commands.junit import junit
from driftline.monitors.report.ranking import findings
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult

RANDOM = np.random.default_rng(3)
REFERENCE = pd.DataFrame(
    {"temperature": RANDOM.normal(55, 10, 3_000), "carrier": RANDOM.choice(["UA", "AA"], 3_000)}
)
# jenkinsci/xunit-plugin, types/model/xsd/junit-10.xsd, as far as driftline writes it: by element,
# the attributes that must be there, those that may, and the elements that may lie in it.
SCHEMA = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log",
         "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}  # fmt: skip


def suite_of(report: Report) -> ElementTree.Element:
    """Read what was written, and hold it against the schema."""
    root = ElementTree.fromstring(junit([report]))
    assert root.tag == "testsuites"
    for element in root.iter():
        must, may, inside = SCHEMA[element.tag]
        assert must <= element.attrib.keys() <= must | may
        assert {child.tag for child in element} <= inside
    cases = root.findall(".//testcase")
    for holder in (root, root[0]):
        assert holder.get("tests") == str(len(cases))
        assert holder.get("failures") == str(len(root.findall(".//failure")))
        assert holder.get("errors") == str(len(root.findall(".//error")))
    assert root[0].get("skipped") == str(len(root.findall(".//skipped")))
    assert all(len(case) <= 1 for case in cases)  # GitLab reads one result of a case.
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names)  # A case's history goes by its name.
    return root[0]


@pytest.fixture(scope="module")
def baseline() -> dl.Baseline:
    return dl.Baseline.fit(REFERENCE)


@pytest.fixture(scope="module")
def report(baseline: dl.Baseline) -> Report:
    now = REFERENCE.head(600).assign(
        temperature=lambda rows: rows["temperature"] + 30, carrier=["UX"] * 300 + ["AA"] * 300
    )
    return dl.check(now, baseline)


def test_every_feature_is_a_case_and_every_violation_a_failure(report: Report) -> None:
    suite = suite_of(report)

    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert set(cases) == set(REFERENCE.columns)
    failure = cases["carrier"].find("failure")
    assert failure is not None
    assert failure.get("type") == "categorical_values_check"
    assert failure.get("message", "").startswith("page: ")
    for violation in report.violations:
        told = cases[violation.feature_name].findtext("failure") or ""
        assert violation.constraint_check_type in told
    for finding in findings(report.violations):
        assert finding.cause in (cases[finding.first.feature_name].findtext("failure") or "")


def test_signs_that_xml_cannot_hold_are_left_out() -> None:
    metric = MetricResult("a\x00b\x1b<c", 0.5, note="insufficient_data")
    report = Report("bias", (), 10, metrics=(metric,))

    suite = suite_of(report)

    assert [one.get("name") for one in suite.iter("testcase")][-1] == "ab<c"


def test_a_metric_without_a_value_has_not_passed() -> None:
    metrics = (
        MetricResult("auc", None, operator="LessThanThreshold", note="undefined: no rows"),
        MetricResult("accuracy", 0.5, bound=0.4, operator="LessThanThreshold"),
    )
    report = Report("model-quality", (), 100, metrics=metrics)

    suite = suite_of(report)

    assert suite.get("skipped") == "1"
    assert [one.get("message") for one in suite.iter("skipped")] == ["undefined: no rows"]
    assert [one.text for one in suite.iter("skipped")] == ["undefined: no rows"]


def test_a_check_that_could_not_be_decided_is_an_error(baseline: dl.Baseline) -> None:
    suite = suite_of(dl.check(REFERENCE.head(3), baseline))

    assert suite.get("errors") == "1"
    assert "too few to judge" in (suite.findtext(".//error") or "")
    assert suite.get("failures") == "0"
