"""A report on the terminal."""

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.app.commands.verdict import show
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import MetricResult

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
