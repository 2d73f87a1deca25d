"""A report as one page: no other file, whole without its script, all text of the data escaped."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.report.pictures import interval_line, name_html, scale_of, shape_line
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


def test_a_page_without_its_script_has_the_words_the_pictures_and_the_table(
    report: Report,
) -> None:
    page = re.sub("<script.*?</script>", "", report.html(), flags=re.DOTALL)

    features = {one.feature_name for one in report.violations}
    assert page.count('class="bars"') == len(features) == 2
    assert page.count("data-row=") == len(REFERENCE.columns)
    for one in report.violations:
        assert one.constraint_check_type in page
    assert "never seen in the reference" in page


def test_no_text_of_the_data_is_markup(report: Report) -> None:
    page = report.html()

    assert "<img" not in page
    assert HOSTILE in data_of(page)["keys"][0]  # Whole, where the script sorts by it.


def test_the_script_gets_every_feature_what_matters_first(report: Report) -> None:
    data = data_of(report.html())

    names = data["keys"][0]
    assert sorted(names) == sorted(one.feature for one in report.results)
    assert data["states"] == ["violated", "violated"]
    assert len({len(column) for column in data["keys"]}) == 1
    for place, name in enumerate(names):
        bars, found = data["pictures"][data["drawn"][place]], report.comparison(name)
        assert found is not None
        assert bars["labels"] == list(found.labels)
        assert bars["now"] == pytest.approx(found.window.tolist(), abs=1e-5)
        assert bars["moved"] == np.flatnonzero(found.moved).tolist()


def test_five_thousand_columns_stay_a_page_that_opens(report: Report) -> None:
    name, count = report.results[0].feature, 5_000
    results = [replace(report.results[0], feature=f"column {place}") for place in range(count)]
    wide = replace(
        report, violations=(), results=tuple(results), comparer=lambda _: report.comparison(name)
    )

    page = wide.html()

    assert len(page) < 9_000_000
    data = data_of(page)
    # The first hundred are there without the script, which has the others.
    assert page.count('<th scope="row">column') == 100
    assert len(data["rows"]) == 4_900
    assert len(data["keys"][0]) == len(data["drawn"]) == len(data["states"]) == 5_000
    assert "4,900 more features" in page


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


def test_what_there_is_to_know_of_the_numbers_stands_on_page_and_in_notebook() -> None:
    noted = {"reference_note": "16% of the reference's rows lie far", "sample_rows": 250}
    report = Report(kind="outliers", violations=(), row_count=9, details=noted)

    told = "<p>16% of the reference&#x27;s rows lie far.</p>"
    assert told in report.html()
    assert told in report._repr_html_()


def test_a_shape_fills_its_height_on_both_sides() -> None:
    drawn = shape_line(np.array([[0.5, 0.25, 0.0], [0.0, 0.1, 0.2]]), moved=True)

    then, now = re.findall(r' d="([^"]+)"', drawn)
    assert [float(top) for top in re.findall(r"V([0-9.]+)h", then)] == [0, 20, 40]
    assert [float(top) for top in re.findall(r"V([0-9.]+)h", now)] == [40, 20, 0]
    assert shape_line(np.zeros((2, 0)), moved=False) == ""


def test_an_interval_lies_where_its_numbers_do() -> None:
    metric = MetricResult("auc", 0.5, 0.25, 0.75, 1.0, bound=0.0)

    line = interval_line(metric, (0.0, 1.0))

    assert re.search(r'class="whisker" stroke="#000" x1="55.0" .*x2="165.0"', line)
    assert 'cx="110.0"' in line
    assert scale_of([metric]) == pytest.approx((-0.08, 1.08))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("departure_temp_f", "departure_<wbr>temp_<wbr>f"),
        ("wind.speed/knots", "wind.<wbr>speed/<wbr>knots"),
        ("meanRadiusOfX2Cells", "mean<wbr>Radius<wbr>Of<wbr>X2<wbr>Cells"),
        ("__a__b", "__<wbr>a__<wbr>b"),
        ("HTTPStatus", "HTTPStatus"),
        ("<b>_x", "&lt;b&gt;_<wbr>x"),
    ],
)
def test_a_long_name_breaks_between_its_words(name: str, shown: str) -> None:
    assert name_html(name) == shown
