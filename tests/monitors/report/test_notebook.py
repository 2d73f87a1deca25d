"""A report in a notebook: only what stays in one that is not trusted."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.baseline.display import number_words
from driftline.monitors.report.ranking import findings
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult

HOSTILE = '<img src=x onerror="alert(1)">'
RANDOM = np.random.default_rng(4)
REFERENCE = pd.DataFrame(
    {HOSTILE: RANDOM.normal(0, 1, 2_000), "level": RANDOM.choice(["a", "b"], 2_000)}
)
# jupyterlab/jupyterlab, packages/apputils/src/sanitizer.ts: of the tags and of the properties of
# style that it lets stand, those that driftline uses; and how values must read.
TAGS = {"div", "p", "b", "i", "br", "span", "table", "thead", "tbody", "tr", "th", "td", "details",
        "summary"}  # fmt: skip
STYLES = {
    "background-color": "#[0-9a-f]{6}",
    "color": "#[0-9a-f]{6}",
    "padding": r"[0-9a-z]+( [0-9a-z]+)*",
    "border-radius": "[0-9]+px",
    "width": r"[0-9.]+(px|%)",
    "height": "[0-9]+px",
    "text-align": "left|right",
    "vertical-align": "top",
    "white-space": "nowrap",
}


class Sanitizer(HTMLParser):
    """Fails on what JupyterLab would take away from a notebook that is not trusted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name == "style", name
            for one in (value or "").split(";"):
                key, _, word = one.partition(":")
                assert re.fullmatch(STYLES[key], word), one
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def text_of(cell: str) -> str:
    found = Sanitizer()
    found.feed(cell)
    assert found.open == []
    return found.text


@pytest.fixture(scope="module")
def report() -> Report:
    now = REFERENCE.head(500).assign(level=[HOSTILE] * 200 + ["a"] * 300)
    now[HOSTILE] += 3
    return dl.check(now, dl.Baseline.fit(REFERENCE))


def test_a_report_says_what_is_violated_and_how_the_values_lie(report: Report) -> None:
    text = text_of(report._repr_html_())

    assert (report.violation_count, len(report.violations)) == (2, 3)
    assert text.startswith("2 violations in 500 rows")
    assert set("\u2581\u2588") <= set(text)
    for one in findings(report.violations):
        assert one.cause in text


def test_a_report_without_violations_lists_the_features() -> None:
    baseline = dl.Baseline.fit(REFERENCE)

    text = text_of(dl.check(REFERENCE.head(700), baseline)._repr_html_())

    assert text.startswith("No violations in 700 rows")
    assert "2 features, those nearest to their bound first" in text


def test_metrics_are_listed_with_their_intervals() -> None:
    metrics = (
        MetricResult("auc", 0.6, 0.5, 0.7, 0.8, bound=0.78, severity="page"),
        MetricResult("TE", None, facet="sex", facet_value=HOSTILE, note="undefined: no_positives"),
    )

    text = text_of(Report("bias", (), 10, metrics=metrics)._repr_html_())

    assert "0.5 to 0.7" in text
    assert "undefined: no positives" in text
    assert HOSTILE in text


def test_a_wide_report_stays_a_cell_that_can_be_scrolled() -> None:
    wide = pd.DataFrame({f"column {number}": RANDOM.normal(0, 1, 300) for number in range(150)})

    cell = dl.check(wide.head(200) + 5, dl.Baseline.fit(wide))._repr_html_()

    assert "120 more: report.features" in text_of(cell)
    assert len(cell) < 200_000


def test_a_baseline_shows_its_columns() -> None:
    people = REFERENCE.assign(hired=1, rare=[None] * 1_999 + [1.5])
    baseline = dl.Baseline.fit(people, label="hired")

    text = text_of(baseline._repr_html_())

    assert f"Baseline {baseline.version}" in text
    assert "2,000 rows, 4 columns" in text
    assert "hired label" in text
    assert "a, b" in text or "b, a" in text
    assert "100.0%" in text
    assert baseline.profile is not None
    assert "2,000 rows" in text_of(baseline.profile._repr_html_())


def test_a_baseline_of_constraints_alone_says_so() -> None:
    whole = dl.Baseline.fit(REFERENCE)
    alone = dl.Baseline(whole.signature, None, None, whole.constraints, {})

    assert "2 columns, constraints alone" in text_of(alone._repr_html_())


def test_a_profile_is_one_short_line_at_a_prompt() -> None:
    profile = dl.Baseline.fit(REFERENCE).profile

    assert repr(profile).startswith("<Profile rows: 2,000, columns: 2 (")
    assert len(repr(profile)) < 250


def test_each_sentence_has_its_number_beside_it(report: Report) -> None:
    lines = re.findall(r"<tr>(.*?)</tr>", report._repr_html_().split("</table>")[0])

    told = [text_of(line) for line in lines[1:]]
    found = findings(report.violations)
    assert len(told) == len(found) > 1
    for one in found:
        assert any(line.endswith(f"{one.cause}{one.first.row_count:,}") for line in told)
    assert "<br>" not in lines[1]


def test_a_profile_tells_ids_in_full_and_estimates_as_such() -> None:
    people = pd.DataFrame(
        {"id": range(100_001, 110_001), "share": 0.12345, "money": [2.5e6] * 10_000,
         "name": [f"n{number}" for number in range(10_000)]}
    )  # fmt: skip

    text = text_of(dl.profile(people)._repr_html_())

    assert "values" not in text
    assert "e+0" not in text
    assert "105," in text  # The median id, within the sketch's error.
    assert "2,500,000" in text
    assert "0.1235" in text or "0.1234" in text
    assert text.count("\u2248 ") == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (999.96, "1000"), (1234.5, "1,234"), (-100_213.0, "-100,213"), (1e18, "1e+18"),
     (0.00001234, "1.234e-05"), (float("inf"), "inf"), (float("nan"), "nan")],
)  # fmt: skip
def test_numbers_read_as_numbers(value: float, words: str) -> None:
    assert number_words(value) == words
