"""A report in a notebook: only what stays in one that is not trusted."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.report.ranking import findings
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured

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
            assert name in ("style", "title"), name
            if name == "title":
                continue
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


def test_metrics_are_listed_with_their_intervals() -> None:
    metrics = (
        Measured("auc", 0.6, 0.5, 0.7, 0.8, bound=0.78, severity="page"),
        Measured("TE", None, facet="sex", facet_value=HOSTILE, why="no_positives"),
    )

    text = text_of(Report("bias", (), 10, metrics=metrics)._repr_html_())

    assert "0.5 to 0.7" in text
    assert "no positives" in text
    assert HOSTILE in text


def test_a_baseline_shows_its_columns() -> None:
    people = REFERENCE.assign(hired=1, rare=[None] * 1_999 + [1.5], long="x" * 40)
    baseline = dl.Baseline.fit(people, label="hired")

    text = text_of(baseline._repr_html_())

    assert f"Baseline {baseline.version}" in text
    assert "2,000 rows, 5 columns" in text
    assert "hired label" in text
    assert "a, b" in text or "b, a" in text
    assert "100.0%" in text
    assert f'<span title="{"x" * 40}">{"x" * 23}…</span>' in baseline._repr_html_()
    assert baseline.profile is not None
    assert "2,000 rows" in text_of(baseline.profile._repr_html_())
