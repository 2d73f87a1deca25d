"""A report on the terminal."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

import driftline as dl
from driftline.app.cli import build
from driftline.app.commands.verdict import print_report, print_sentence
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import UNBOUNDED, MetricResult
from driftline.monitors.results.unjudged import note_words

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

    firsts = [line.split()[0] for line in lines if line]
    words = [word for word in firsts if word in ("PAGE", "TICKET", "feature")]
    assert words == sorted(words)
    assert words[0] == "PAGE"
    assert words[-1] == "feature"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int) -> None:
    lines = printed(report, width).splitlines()

    assert max(map(len, lines)) <= width
    assert ("strongest set" in "".join(lines)) == (width > 60)
    assert any(line.split()[-1:] == ["window"] for line in lines)  # Bars fit at every width.


def test_no_text_of_the_data_steers_the_terminal() -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e\r\n\x00"
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


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", ["s" * 30, "店舗の名前はとても長い", "shop"])
def test_numbers_are_never_cut(name: str, width: int) -> None:
    reference = pd.DataFrame({
        name: RANDOM.choice(["東京東京東京東京", "Rome"], 4_000),
        name * 2: RANDOM.normal(0, 1, 4_000),
    })  # fmt: skip
    now = reference.head(1_100).assign(**{name * 2: 3.0})
    now.loc[:9, name] = "Bern"  # Too few to judge, which has a note.

    report = dl.check(now, dl.Baseline.fit(reference, segments=[name]))
    text = printed(report, width)

    counts = [f"{one.row_count:,}" for one in report.segments]
    assert len(counts) == 3
    assert all(f" {count} " in text for count in counts)
    assert "99.8%" in text or "100.0%" in text


def test_groups_of_metrics_are_told_apart_in_whole_words() -> None:
    groups = ("Female person & Amer-Indian Eskimo", "Female person & Asian Pacific")
    metrics = tuple(
        MetricResult("DI", 1.25, 1.19, 1.31, 1.0, bound=1.18, facet="sex & race", facet_value=group)
        for group in groups
    )

    def names(width: int) -> list[str]:
        text = printed(Report("bias", (), 100, metrics=metrics), width)
        assert "note" not in text
        return [line.split(" DI ")[0] for line in text.splitlines() if " DI " in line]

    assert names(74) == ["Female person & Amer-Indian…", "Female person & Asian Pacific"]
    assert all(len({*names(width)}) == 2 for width in (64, 70, 80))


def test_the_help_of_baseline_names_the_options_that_matter() -> None:
    told = CliRunner().invoke(build("baseline"), ["baseline", "--help"], env={"COLUMNS": "80"})

    text = " ".join(told.stdout.split())
    assert "named by --label, --prediction, --probability, --timestamp, --id, --exclude" in text


@pytest.mark.parametrize("width", [60, 72, 80])
def test_metrics_are_named_and_their_numbers_whole(width: int) -> None:
    metrics = tuple(
        MetricResult(
            name, -0.12345, -0.1567, -0.0512, -0.1001, bound=-0.1234, operator="LessThanThreshold",
            facet="a facet with a long name", facet_value="F", note="undefined: a long reason",
        )
        for name in ("DI", "DPPL")
    )  # fmt: skip

    text = printed(Report("bias", (), 100, metrics=metrics), width)

    for name in ("DI", "DPPL"):
        line = next(line for line in text.splitlines() if f" {name} " in line)
        assert len(line.rstrip()) <= width
        assert line.split(name)[1].split()[:4] == ["-0.123", "-0.157…-0.0512", "-0.1", "-0.123"]


def test_what_is_printed_begins_with_words_though_nothing_is_violated() -> None:
    reference = dl.Baseline.fit(REFERENCE, segments=["carrier"])

    text = printed(dl.check(REFERENCE, reference))

    assert text.startswith("segment")


def test_a_very_long_name_leaves_room_for_the_numbers() -> None:
    reference = pd.DataFrame({"n" * 300: RANDOM.normal(0, 1, 2_000)})

    report = dl.check(reference.head(500) + 3, dl.Baseline.fit(reference))
    lines = printed(report, 60).splitlines()

    assert max(map(len, lines)) <= 60
    assert "…" in lines[0]
    assert lines[-1].split()[-1][-1] == "█"


def test_checks_that_noticed_the_same_are_told_once(report: Report) -> None:
    gone = REFERENCE.head(600).assign(temperature=[None] * 600)

    lines = printed(dl.check(gone, dl.Baseline.fit(REFERENCE)), 120).splitlines()

    told = [line for line in lines if "of rows empty" in line]
    assert len(told) == 1
    assert "completeness_check, baseline_drift_check" in lines[lines.index(told[0]) - 1]


def test_hundreds_of_violated_features_fit_a_screen_or_two() -> None:
    wide = pd.DataFrame({f"column {number}": RANDOM.normal(0, 1, 400) for number in range(60)})

    lines = printed(dl.check(wide.head(200) + 5, dl.Baseline.fit(wide))).splitlines()

    assert len(lines) < 90
    assert "       … and 40 more features: --json or --format html" in lines


@pytest.mark.parametrize("no_color", [True, False])
def test_colours_are_for_terminals_that_want_them(
    report: Report, monkeypatch: pytest.MonkeyPatch, *, no_color: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    file = io.StringIO()

    print_report(report, Console(file=file, width=80, force_terminal=True, highlight=False))

    assert ("\x1b[1;31m" in file.getvalue()) != no_color  # Bold stays: it is no colour.
    assert "\x1b" not in printed(report)  # As when the output is piped.


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
    assert text.splitlines()[-1] == "sex=F TE: undefined: no false positives"


def test_one_row_of_junk_is_not_told_for_each_column() -> None:
    columns = {f"column {number}": RANDOM.normal(0, 1, 1_000) for number in range(59)}
    now = pd.DataFrame(columns).head(334).astype(object)
    now.loc[7] = "junk"
    baseline = dl.Baseline.fit(pd.DataFrame(columns).assign(age=RANDOM.integers(0, 60, 1_000)))

    told = printed(dl.check(now.astype(str).assign(age=99), baseline))

    pages = [line for line in told.splitlines() if line.startswith(("PAGE", "TICKET"))]
    assert pages[0] == "PAGE   59 columns  data_type_check  1 row"
    assert len(pages) == 2  # The column that has its own matter is told by name.
    assert " age " in pages[1]
    assert "in column 0, column 1," in told
    assert len(told.splitlines()) < 30


def test_two_columns_alike_are_told_by_name() -> None:
    columns = {name: RANDOM.normal(0, 1, 1_000) for name in ("a", "b")}
    now = pd.DataFrame(columns).head(334).astype(object)
    now.loc[7] = "junk"

    told = printed(dl.check(now.astype(str), dl.Baseline.fit(pd.DataFrame(columns))))

    assert [line.split()[1] for line in told.splitlines() if line.startswith("PAGE")] == ["a", "b"]


def test_a_number_without_an_interval_says_why_in_its_place() -> None:
    unbounded = f"{UNBOUNDED}tails too heavy, one row makes 26% of the variance"
    found = Report("model-quality", (), 1, metrics=(MetricResult("mse", 9.0, unbounded=unbounded),))

    lines = printed(found, 120).splitlines()

    assert lines[1].split()[:3] == ["mse", "9", "none"]
    assert lines[2] == "mse: tails too heavy, one row makes 26% of the variance"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_notes_stand_below_the_numbers_whole_and_once(width: int) -> None:
    note = "too_variable: no number of rows would do, only a longer reference"
    metrics = tuple(MetricResult(f"metric_{at}", 0.5, note=note) for at in range(12))

    text = printed(Report("model-quality", (), 9, metrics=metrics[:2]), width)
    many = printed(
        Report("bias", (), 9, metrics=[replace(one, bound=1.0) for one in metrics]), width
    )

    assert max(map(len, [*text.splitlines(), *many.splitlines()])) <= width
    told = "metric_0, metric_1: too variable: no number of rows would do, only a longer reference"
    assert " ".join(text.split()).endswith(told)
    assert "metric_7 and 4 more: too variable" in " ".join(many.split())


@pytest.mark.parametrize("columns", ["40", "80"])
def test_sentences_are_as_wide_as_the_terminal_and_whole_without_one(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "2 of 14 metrics could not be judged: " + "the reference is too short, " * 8
    monkeypatch.setenv("COLUMNS", columns)
    print_sentence(text)
    asked = capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")  # As a terminal.
    print_sentence(text)
    cut = capsys.readouterr().out
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.delenv("COLUMNS")
    print_sentence(text)
    whole = capsys.readouterr().out

    assert whole == f"{text}\n"
    assert asked == cut
    assert max(map(len, cut.splitlines())) <= int(columns)
    assert cut.split() == text.split()


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("", ""),
        ("insufficient_data", "too few rows"),
        ("no_reference", "the reference has no rows of it"),
        ("undefined: no_rows_in_group", "undefined: no rows in group"),
        ("too_variable: about 300 rows would do", "too variable: about 300 rows would do"),
        ('incomparable: explained by "a_b", not c', 'incomparable: explained by "a_b", not c'),
    ],
)
def test_notes_are_words(note: str, words: str) -> None:
    assert note_words(note) == words
