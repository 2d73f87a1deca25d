"""A report as JUnit XML, held against the schema of Jenkins' xUnit plug-in."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.app.commands.junit import junit
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult

RANDOM = np.random.default_rng(3)
REFERENCE = pd.DataFrame(
    {"temperature": RANDOM.normal(55, 10, 3_000), "carrier": RANDOM.choice(["UA", "AA"], 3_000)}
)
NOW = REFERENCE.head(600).assign(
    temperature=lambda rows: rows["temperature"] + 30, carrier=["UX"] * 300 + ["AA"] * 300
)
METRICS = (
    MetricResult("a\x00b\x1b<c", 0.5, note="insufficient_data"),
    MetricResult("auc", None, operator="LessThanThreshold", note="undefined: no rows"),
    MetricResult("accuracy", 0.5, bound=0.4, operator="LessThanThreshold"),
)
# jenkinsci/xunit-plugin, types/model/xsd/junit-10.xsd, as far as driftline writes it: by element,
# the attributes that must be there, those that may, and the elements that may lie in it.
OUTCOME = ({"type", "message"}, set(), set())
SCHEMA = {
    "testsuites": ({"name", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"skipped"}, {"testcase", "properties"}),
    "testcase": ({"name", "classname"}, set(), {"skipped", "error", "failure"}),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    **dict.fromkeys(("failure", "error", "skipped"), OUTCOME),
}


@pytest.mark.parametrize(
    ("data", "counts", "outcomes"),
    [
        (NOW, (2, 2, 0, 0), {"carrier": "categorical_values_check", "temperature": None}),
        (REFERENCE.head(3), (3, 0, 1, 2), {"decided": "undecided"}),
        (METRICS, (3, 0, 0, 2), {"ab<c": "skipped", "auc": "skipped"}),
    ],
    ids=["violated", "undecided", "metrics"],
)
def test_every_feature_is_a_case_that_says_why_it_has_not_passed(
    data: object, counts: tuple[int, ...], outcomes: dict[str, str | None]
) -> None:
    if isinstance(data, tuple):
        report = Report("model-quality", (), 100, metrics=data)
    else:
        report = dl.check(data, dl.Baseline.fit(REFERENCE))

    root = ElementTree.fromstring(junit([report]))

    for element in root.iter():
        must, may, inside = SCHEMA[element.tag]
        assert must <= element.attrib.keys() <= must | may
        assert {child.tag for child in element} <= inside
    (suite,) = root
    assert tuple(int(suite.attrib[one]) for one in ("tests", "failures", "errors", "skipped")) == (
        counts
    )
    assert [root.get(one) for one in ("tests", "failures", "errors")] == [
        suite.get(one) for one in ("tests", "failures", "errors")
    ]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert len(cases) == counts[0]  # A case's history goes by its name.
    for name, kind in outcomes.items():
        (result,) = cases[name]  # GitLab reads one result of a case, and of it the text.
        assert result.text and kind in (None, result.get("type"))
    for violation in report.violations:
        text = cases[violation.feature_name].findtext("failure") or ""
        assert violation.constraint_check_type in text
