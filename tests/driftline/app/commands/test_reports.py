"""A report on the terminal, as JSON, as a page, and as JUnit XML by the schema of Jenkins."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import driftline as dl
from driftline.app.cli import build
from driftline.app.commands.junit import junit
from driftline.app.commands.verdict import FORMATS, show
from driftline.errors import UndecidedError
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured
from driftline.monitors.state import State


def test_what_could_not_be_judged_fails_where_that_is_asked_for(tmp_path: Path) -> None:
    slow = np.repeat(np.arange(40) // 8 % 2, 24 * 20)
    at = np.datetime64("2026-01-01", "us") + np.arange(slow.size) * np.timedelta64(180, "s")
    timed = pd.DataFrame({"at": at, "slow": slow.astype(float), "x": np.arange(slow.size) % 50})
    dl.Baseline.fit(timed, timestamp="at").save(tmp_path / "timed")
    timed[:480].to_parquet(tmp_path / "day.parquet")
    asked = ["check", f"{tmp_path}/day.parquet", "--baseline", f"{tmp_path}/timed"]

    found = CliRunner().invoke(build("check"), [*asked, "--fail-on", "unjudged"])

    assert found.exit_code == 3 or isinstance(found.exception, UndecidedError), found.output


@pytest.mark.parametrize("form", FORMATS)
def test_no_form_steers_a_terminal(capsys: pytest.CaptureFixture[str], form: str) -> None:
    # ESC, the C1 control sequence introducer, a bell, and a turn of the direction of writing.
    odd = "a\x1b[31m\x9b2J\x07\u202eb"
    baseline = dl.Baseline.fit(pa.table({odd: ["x", odd] * 200}))
    report = dl.check(pa.table({odd: [f"new {odd}"] * 200}), baseline)

    show(report, (form,), None)

    said = capsys.readouterr().out
    assert "new " in said
    assert not set(said) & set("\x1b\x9b\x07\u202e")
    if form == "json":
        assert json.loads(said) == json.loads(report.documents()["report.json"])


RANDOM = np.random.default_rng(3)
REFERENCE = pd.DataFrame(
    {"temperature": RANDOM.normal(55, 10, 3_000), "carrier": RANDOM.choice(["UA", "AA"], 3_000)}
)
NOW = REFERENCE.head(600).assign(
    temperature=lambda rows: rows["temperature"] + 30, carrier=["UX"] * 300 + ["AA"] * 300
)
METRICS = (
    Measured("a\x00b\x1b<c", 0.5, state=State.INSUFFICIENT),
    Measured("auc", None, operator="LessThanThreshold", state=State.UNDEFINED, why="no rows"),
    Measured("accuracy", 0.5, bound=0.4, operator="LessThanThreshold"),
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
    names = ("tests", "failures", "errors", "skipped")
    assert tuple(int(suite.attrib[name]) for name in names) == counts
    assert [root.get(name) for name in names[:3]] == [suite.get(name) for name in names[:3]]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert len(cases) == counts[0]  # A case's history goes by its name.
    for name, kind in outcomes.items():
        (result,) = cases[name]  # GitLab reads one result of a case, and of it the text.
        assert result.text and kind in (None, result.get("type"))
