"""A report as one page: no other file, no script, all text of the data escaped."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.report.report import Report

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


def test_a_page_needs_no_other_file_and_asks_no_other_host(report: Report) -> None:
    page = report.html()
    found = tags_of(page)

    assert not {"img", "link", "iframe", "base", "object", "script"} & set(found.names)
    assert found.links == []
    for word in ("http://", "https://", "url(", "@import", "fetch(", "import("):
        assert word not in page


def test_the_pages_own_policy_lets_no_script_run(report: Report) -> None:
    assert "default-src 'none'; style-src 'unsafe-inline'" in report.html()


def test_no_text_of_the_data_is_markup(report: Report) -> None:
    page = report.html()

    assert "<img" not in page
