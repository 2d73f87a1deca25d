"""A report as one page: no other file, no script, every text of the data escaped."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.metric import MetricResult
from driftline.monitors.page import report_page
from driftline.monitors.pictures import interval_line, scale_of
from driftline.monitors.report import Report

HOSTILE = '<img src=x onerror="alert(1)">'
RANDOM = np.random.default_rng(4)
REFERENCE = pd.DataFrame(
    {HOSTILE: RANDOM.normal(0, 1, 2_000), "level": RANDOM.choice(["a", "b"], 2_000)}
)


class Tags(HTMLParser):
    """Collects the tags of a page, and checks that they close."""

    VOID = frozenset({"meta", "line", "rect", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report() -> Report:
    now = REFERENCE.head(500).assign(level=[HOSTILE] * 200 + ["a"] * 300)
    now[HOSTILE] += 3
    return dl.check(now, dl.Baseline.fit(REFERENCE))


def tags_of(page: str) -> Tags:
    found = Tags()
    found.feed(page)
    assert found.open == []
    return found


def test_a_page_needs_no_other_file_and_runs_nothing(report: Report) -> None:
    found = tags_of(report.html())

    assert not {"script", "img", "link", "iframe"} & set(found.names)
    assert found.links == []
    assert "url(" not in report.html()


def test_each_violated_feature_is_drawn_beside_its_reference(report: Report) -> None:
    page = report.html()

    features = {one.feature_name for one in report.violations}
    assert page.count('class="bars"') == len(features) == 2
    assert "reference above" not in page.split("<figure>")[0]


def test_a_notebook_gets_a_fragment(report: Report) -> None:
    page = report_page(report, whole=False)

    assert "<html" not in page
    tags_of(page)


def test_metrics_are_drawn_as_intervals() -> None:
    metrics = (
        MetricResult("auc", 0.6, 0.5, 0.7, 0.8, 0.75, 0.85, 0.78, "LessThanThreshold",
                     severity="page"),
        MetricResult("DI", float("inf"), facet="sex", facet_value=HOSTILE),
        MetricResult("TE", None, facet="sex", facet_value=HOSTILE, note="undefined: no_positives"),
    )  # fmt: skip

    page = report_page(Report("bias", (), 10, metrics=metrics), whole=True)

    tags_of(page)
    assert page.count('class="line"') == 1
    assert "undefined: no_positives" in page
    assert "<img" not in page


def test_an_interval_lies_where_its_numbers_do() -> None:
    metric = MetricResult("auc", 0.5, 0.25, 0.75, 1.0, bound=0.0)

    line = interval_line(metric, (0.0, 1.0))

    assert re.search(r'class="whisker" x1="55.0" .*x2="165.0"', line)
    assert 'cx="110.0"' in line
    assert scale_of([metric]) == pytest.approx((-0.08, 1.08))
