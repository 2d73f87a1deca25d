"""A report as one page: no other file, whole without its script, all text of the data escaped."""

import base64
import hashlib
import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult

HOSTILE = '<img src=x onerror="alert(1)">'
RANDOM = np.random.default_rng(4)
REFERENCE = pd.DataFrame(
    {HOSTILE: RANDOM.normal(0, 1, 2_000), "level": RANDOM.choice(["a", "b"], 2_000)}
)


class Tags(HTMLParser):
    """Collects the tags of a page, and checks that they close."""

    VOID = frozenset({"meta", "line", "rect", "circle", "path", "input", "br", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)

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


def data_of(page: str) -> dict:
    return json.loads(tags_of(page).scripts[0])


def test_a_page_needs_no_other_file_and_asks_no_other_host(report: Report) -> None:
    page = report.html()
    found = tags_of(page)

    assert not {"img", "link", "iframe", "base", "object"} & set(found.names)
    assert found.links == []
    for word in ("http://", "https://", "url(", "@import", "fetch(", "import("):
        assert word not in page


def test_the_pages_own_policy_lets_only_its_own_script_run(report: Report) -> None:
    page = report.html()
    script = tags_of(page).scripts[1]

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    assert len(tags_of(page).scripts) == 2


def test_no_text_of_the_data_is_markup(report: Report) -> None:
    page = report.html()

    assert "<img" not in page
    assert HOSTILE in data_of(page)["keys"][0]  # Whole, where the script sorts by it.


def test_a_page_of_equal_rows_is_equal(report: Report) -> None:
    assert report.html() == report.html()


def test_metrics_are_drawn_as_intervals() -> None:
    metrics = (
        MetricResult("auc", 0.6, 0.5, 0.7, 0.8, 0.75, 0.85, 0.78, "LessThanThreshold",
                     severity="page"),
        MetricResult("DI", float("inf"), facet="sex", facet_value=HOSTILE),
        MetricResult("TE", None, facet="sex", facet_value=HOSTILE, note="undefined: no_positives"),
    )  # fmt: skip

    page = Report("bias", (), 10, metrics=metrics).html()

    tags_of(page)
    assert page.count('class="line"') == 1
    assert "undefined: no positives" in page
    assert "<img" not in page
