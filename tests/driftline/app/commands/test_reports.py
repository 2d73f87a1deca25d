"""A report on the terminal, as JSON, as a page, and as JUnit XML by the schema of Jenkins."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import driftline as dl
from driftline.app.commands.junit import junit
from driftline.app.commands.verdict import FORMATS, show
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult
from tests.servers.commands import driftline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two baselines with data: one that drifts, and one of which a column cannot be judged."""
    folder = tmp_path_factory.mktemp("formats")
    dl.Baseline.fit(pa.table({"a": np.arange(1000) % 50})).save(folder / "then")
    pq.write_table(pa.table({"a": np.arange(100) + 40}), folder / "now.parquet")
    slow = np.repeat(np.arange(40) // 8 % 2, 24 * 20)
    at = np.datetime64("2026-01-01", "us") + np.arange(slow.size) * np.timedelta64(180, "s")
    timed = pa.table({"at": at, "slow": slow.astype(float), "x": np.arange(slow.size) % 50})
    dl.Baseline.fit(timed, timestamp="at").save(folder / "timed")
    pq.write_table(timed.slice(0, 480), folder / "day.parquet")
    return folder


@pytest.mark.parametrize(
    ("words", "code", "files"),
    [
        ("now then --format text,html,junit -o OUT", 1, {"report.html", "junit.xml"}),
        ("now then --json -o OUT", 1, set()),
        ("now then --format text,html", 2, None),
        ("now then --format pdf -o OUT", 2, None),
        ("day timed --fail-on unjudged", 3, None),
    ],
)
def test_the_command_writes_what_was_asked_for_and_says_what_it_found(
    folder: Path, tmp_path: Path, words: str, code: int, files: set[str] | None
) -> None:
    data, baseline, *rest = words.replace("OUT", str(tmp_path / "out")).split()
    done = driftline("check", f"{data}.parquet", "--baseline", baseline, *rest, cwd=folder)

    assert done.returncode == code
    documents = {"statistics.json", "constraint_violations.json", "report.json"}
    found = {one.name for one in (tmp_path / "out").glob("*")}
    assert found == (set() if files is None else files | documents)
    assert bool(done.stdout) == (code != 2)


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


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def text(report: Report, width: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        show(report, ["text"], None)
        return capsys.readouterr().out

    return text


def test_what_is_violated_comes_before_the_numbers_and_steers_no_terminal(printed) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\r\n\x00[bold]"
    reference = pd.DataFrame({
        evil: RANDOM.choice(["a", "b"], 2_000), "n" + evil: RANDOM.normal(0, 1, 2_000),
    })  # fmt: skip
    now = reference.head(500).assign(**{evil: evil + "[/x]", "n" + evil: 9.0, "m" + evil: 1})

    report = dl.check(now, dl.Baseline.fit(reference, segments=[evil]))

    assert {one.feature_name for one in report.violations} >= {evil, "n" + evil}
    for width in (60, 80, 120):
        text = printed(report, width)
        assert all(sign.isprintable() for sign in text.replace("\n", ""))
        assert max(map(len, text.splitlines())) <= width
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert words.index("PAGE") < words.index("feature")


def test_metrics_are_shown_with_interval_reference_bound_and_note(printed) -> None:
    metrics = (
        MetricResult("shown only", 0.123),
        MetricResult(
            "auc", 0.61, 0.58, 0.64, 0.7, bound=0.66, operator="LessThanThreshold", severity="page"
        ),
        MetricResult(
            "TE", None, facet="sex", facet_value="F", note="undefined: no_false_positives"
        ),
    )

    lines = printed(Report("model-quality", (), 100, metrics=metrics)).splitlines()

    assert ["auc", "0.61", "0.58…0.64", "0.7", "0.66"] in [line.split() for line in lines]
    assert "sex=F TE" in [line[:8] for line in lines if "no false positives" in line]


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
