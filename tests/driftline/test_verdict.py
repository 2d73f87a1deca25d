"""A report on the terminal and as JUnit XML."""

import io
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console

import driftline as dl
from driftline.commands.verdict import junit, print_report
from driftline.monitors.metric import MetricResult
from driftline.monitors.report import Report

RANDOM = np.random.default_rng(3)
REFERENCE = pd.DataFrame(
    {
        "temperature": RANDOM.normal(55, 10, 3_000),
        "a column with a name that is longer than most tables are wide": RANDOM.random(3_000),
        "carrier": RANDOM.choice(["UA", "AA"], 3_000),
    }
)
NOW = REFERENCE.head(600).assign(
    temperature=lambda rows: rows["temperature"] + 30,
    carrier=["[bold]UX[/]"] * 300 + ["AA"] * 300,
)


@pytest.fixture(scope="module")
def report() -> Report:
    return dl.check(NOW, dl.Baseline.fit(REFERENCE))


def printed(report: Report, width: int = 80, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    print_report(report, Console(file=file, width=width, highlight=False))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_what_pages_comes_first_then_tickets_then_the_numbers(report: Report) -> None:
    lines = printed(report).splitlines()

    words = [line.split()[0] for line in lines if line.split()[0] in ("PAGE", "TICKET", "feature")]
    assert words == sorted(words)
    assert words[0] == "PAGE"
    assert words[-1] == "feature"


def test_no_line_is_wider_than_the_terminal(report: Report) -> None:
    assert max(map(len, printed(report).splitlines())) <= 80


def test_names_of_the_data_are_shown_as_they_are(report: Report) -> None:
    assert "[bold]UX[/]" in printed(report, 200)


def test_a_terminal_without_unicode_gets_plain_signs(report: Report) -> None:
    line = next(
        one for one in printed(report, encoding="ascii").splitlines() if one[:11] == "temperature"
    )

    assert set("".join(line.split()[-2:])) <= set("_.-=+*%#")


def test_values_are_drawn_then_and_now(report: Report) -> None:
    line = next(one for one in printed(report).splitlines() if one.startswith("temperature"))

    then, now = line.split()[-2:]
    assert set(then + now) <= set("▁▂▃▄▅▆▇█")
    assert now[-1] == "█"  # All has moved to the last stretch.
    assert then[-1] != "█"


def test_every_feature_is_a_case_and_every_violation_a_failure(report: Report) -> None:
    suite = ElementTree.fromstring(junit(report))[0]

    cases = {case.get("name"): case for case in suite}
    assert set(cases) >= set(REFERENCE.columns)
    assert suite.get("tests") == str(len(cases))
    failures = [one.get("type") for one in cases["temperature"].iter("failure")]
    assert "baseline_drift_check" in failures
    assert suite.get("failures") == str(sum(case.find("failure") is not None for case in suite))


def test_signs_that_xml_cannot_hold_are_left_out() -> None:
    metric = MetricResult("a\x00b\x1b<c", 0.5, note="insufficient_data")
    report = Report("bias", (), 10, metrics=(metric,))

    suite = ElementTree.fromstring(junit(report))[0]

    assert suite[0].get("name") == "ab<c"
    assert suite[0].find("skipped") is None or suite.get("skipped") == "1"


def test_metrics_are_shown_with_interval_reference_and_bound() -> None:
    metrics = (
        MetricResult("shown only", 0.123),
        MetricResult(
            "auc", 0.61, 0.58, 0.64, 0.7, bound=0.66, operator="LessThanThreshold", severity="page"
        ),
        MetricResult(
            "TE", None, facet="sex", facet_value="F", note="undefined: no_false_positives"
        ),
    )

    text = printed(Report("model-quality", (), 100, metrics=metrics))

    assert text.splitlines()[1].split() == ["auc", "0.61", "0.58…0.64", "0.7", "0.66"]
    assert "sex=F TE" in text
    assert "undefined: no_f…" in text


def test_a_group_or_output_that_is_violated_is_one_case_and_fails() -> None:
    table = pa.table({"age": RANDOM.integers(18, 80, 3_000), "says": RANDOM.integers(0, 2, 3_000)})
    older = table["age"].to_numpy() > 40
    biased = table.set_column(1, "says", pa.array(np.where(older, 0, table["says"].to_numpy())))
    baseline = dl.Baseline.fit(table, prediction="says", problem="binary", facet="age=40")

    suite = ElementTree.fromstring(junit(dl.check(biased, baseline, kind="bias")))[0]

    cases = [one.get("name") for one in suite if "DPPL" in one.get("name", "")]
    assert cases == ["age above 40: DPPL"]
    assert suite.get("failures") == "2"


def test_a_metric_without_a_value_has_not_passed() -> None:
    metrics = (
        MetricResult("auc", None, operator="LessThanThreshold", note="undefined: no rows"),
        MetricResult("accuracy", 0.5, bound=0.4, operator="LessThanThreshold"),
    )
    report = Report("model-quality", (), 100, metrics=metrics)

    suite = ElementTree.fromstring(junit(report))[0]

    assert suite.get("skipped") == "1"
    assert [one.get("message") for one in suite.iter("skipped")] == ["undefined: no rows"]
