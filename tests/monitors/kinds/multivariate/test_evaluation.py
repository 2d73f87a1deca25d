"""The kind "joint" from data to report: planted changes found for their reason, and no others."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import signal
from sklearn.datasets import load_breast_cancer, load_digits

from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.check_context import CheckContext, EarlierRows, PastWindows
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kind import kind_named
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts

# Most tests here check windows against one reference.
pytestmark = pytest.mark.usefixtures("blocks_told_apart_once")

WORDS = np.array(
    [
        "good",
        "bad",
        "room",
        "staff",
        "clean",
        "noisy",
        "view",
        "bed",
        "price",
        "food",
        "bath",
        "late",
    ]
)


def stays(rows: int, seed: int, *, rho: float = 0.8, days: int = 28) -> pa.Table:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=rows)
    second = rho * first + np.sqrt(1 - rho**2) * rng.normal(size=rows)
    text = [" ".join(one) for one in WORDS[rng.integers(0, len(WORDS), (rows, 6))]]
    start = np.datetime64("2026-01-01T00:00:00", "us")
    seconds = np.arange(rows) * (days * 86_400 / max(rows, 1))
    return pa.table(
        {
            "income": np.exp(first),
            "limit": np.exp(second) * 100,
            "age": rng.normal(40, 9, rows),
            "plan": np.array(["basic", "plus"])[(first + rng.normal(size=rows) > 0).astype(int)],
            "review": [f"{one} {at % 977}" for at, one in enumerate(text)],
            "score": rng.beta(2, 5, rows),
            "when": pa.array(
                start + seconds.astype("timedelta64[s]"), pa.timestamp("us", tz="UTC")
            ),
        }
    )


@pytest.fixture(scope="module")
def fitted() -> Baseline:
    return Baseline.fit(stays(12_000, 0), probability="score", timestamp="when")


def judged(baseline: Baseline, table: object, **more: object) -> Report:
    return check(table, baseline, kind="joint", **more)


def causes(report: Report) -> dict[str, str]:
    return {
        f"{one.feature_name}: {one.constraint_check_type}": one.cause for one in report.violations
    }


def test_a_correlation_that_broke_with_equal_margins_is_named(fitted: Baseline) -> None:
    report = judged(fitted, stays(1_000, 1, rho=0.0))

    first = report.violations[0]
    assert first.feature_name == "income × limit"
    assert first.constraint_check_type == "correlation_drift_check"
    assert first.severity == "ticket"
    assert first.cause.startswith("correlation 0.80 → ")
    told = {one.name for one in report.metrics if one.violated}
    assert "correlation" in told
    # The margins are what they were.
    assert check(stays(1_000, 1, rho=0.0), fitted, kind="data-quality").passed


def test_rows_without_a_change_pass_in_all_questions(fitted: Baseline) -> None:
    report = judged(fitted, stays(1_000, 2))

    assert report.passed
    assert report.decided
    names = {one.name for one in report.metrics if one.judged}
    assert names == {
        "correlation", "reconstruction_error", "domain_auc", "prediction_drift", "text_drift"
    }  # fmt: skip
    for one in report.metrics:
        assert one.low <= one.value <= one.high


def test_nothing_planted_is_not_found_in_50_seeds() -> None:
    table = stays(3_000, 0).drop(["review", "when"])
    baseline = Baseline.fit(table, probability="score")
    # The domain classifier, which takes seconds, has a test of its own.
    hour = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 1, 1, tzinfo=UTC))

    found = [
        kind_named("joint").evaluate(
            question(baseline, stays(400, seed), hour, Budget(3.65, 365.0))
        )
        for seed in range(1, 51)
    ]

    # A hundredth is allowed for each: more than 6 of 50 come less than once in a million times.
    assert sum(not one.passed for one in found) <= 6
    assert all(one.decided for one in found)


def wandering(rows: int, seed: int) -> pa.Table:
    """Two columns that wander slowly by themselves, one that follows the first, one of chance."""
    rng = np.random.default_rng(seed)
    noise = np.sqrt(1 - 0.998**2) * rng.normal(size=(2, rows))
    slow, other = signal.lfilter([1.0], [1.0, -0.998], noise)
    return pa.table(
        {
            "slow": slow,
            "follows": 0.6 * slow + 0.8 * rng.normal(size=rows),
            "other": other,
            "chance": rng.normal(size=rows),
        }
    )


def test_slow_columns_without_times_are_judged_by_what_the_order_of_rows_shows() -> None:
    hour = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 1, 1, tzinfo=UTC))
    loud = 0
    for seed in range(4):
        table = wandering(18_000, seed)
        baseline = Baseline.fit(table.slice(0, 14_000))
        for first in range(14_000, 18_000, 500):
            report = kind_named("joint").evaluate(
                question(baseline, table.slice(first, 500), hour, Budget(1.0, 365.0))
            )
            loud += not report.passed
            assert ("times_note" in report.details) == (not report.passed)

    # Taken as independent rows, 31 of the 32 windows alarm.
    assert loud <= 2


def test_a_baseline_without_times_says_so_where_something_is_found() -> None:
    table = stays(3_000, 0).drop(["review", "when"])
    baseline = Baseline.fit(table, probability="score")

    changed = judged(baseline, stays(1_000, 1, rho=0.0).drop(["review", "when"]))

    assert changed.violations[0].feature_name == "income × limit"
    assert "in the order in which they came" in changed.details["times_note"]


def question(
    baseline: Baseline, table: pa.Table, window: Window | None = None, budget: Budget | None = None
) -> CheckContext:
    facts = None if window is None else WindowFacts(window)
    batches = table.to_batches
    return CheckContext(
        baseline, Rows(lambda: iter(batches()), facts=facts), budget=budget or Budget()
    )


def test_an_hour_goes_without_the_classifier_and_a_day_with_it(fitted: Baseline) -> None:
    start = datetime(2026, 2, 1, tzinfo=UTC)
    found = {}
    for hours in (1, 24):
        window = Window(start, start + timedelta(hours=hours))
        report = kind_named("joint").evaluate(question(fitted, stays(600, 3), window))
        found[hours] = next(one for one in report.metrics if one.name == "domain_auc")

    assert found[1].note == "judged of windows of a day or more"
    assert found[24].judged


def hourly(baseline: Baseline, now: pa.Table, before: pa.Table) -> Report:
    """Judge the tenth hour of a day, with nine before it."""
    noon = datetime(2026, 2, 1, 12, tzinfo=UTC)
    times = np.datetime64("2026-02-01T03:00", "us") + np.arange(len(before)) * np.timedelta64(
        9 * 3_600_000_000 // len(before), "us"
    )
    came = before.append_column("event_time", pa.array(times, pa.timestamp("us", tz="UTC")))
    asked = question(baseline, now, Window(noon, noon + timedelta(hours=1)), Budget(1.0, 8_766.0))
    earlier = EarlierRows(noon - timedelta(hours=9), lambda: iter(came.to_batches()))
    return kind_named("joint").evaluate(replace(asked, past=PastWindows(rows=earlier)))


def test_a_change_too_small_for_one_hour_is_found_in_several(fitted: Baseline) -> None:
    now, before = stays(90, 11, rho=0.62), stays(9 * 90, 12, rho=0.62)

    alone = kind_named("joint").evaluate(question(fitted, now))
    together = hourly(fitted, now, before)

    assert "correlation" in alone.insufficient_data
    one = together.violations[0]
    assert one.feature_name == "income × limit"
    assert " over 10 windows, 95% interval " in one.cause
    assert together.details["span_rows"] == {"1": 90, "4": 360, "10": 900}
    metric = next(one for one in together.metrics if one.name == "correlation" and one.violated)
    assert metric.count == 900


def test_hours_without_a_change_pass_together_too(fitted: Baseline) -> None:
    report = hourly(fitted, stays(90, 13), stays(9 * 90, 14))

    assert report.passed
    assert report.decided


def test_what_was_mended_is_no_change_any_more(fitted: Baseline) -> None:
    changed = stays(9 * 200, 15, rho=0.3)

    assert not hourly(fitted, stays(200, 16, rho=0.3), changed).passed
    assert hourly(fitted, stays(200, 16), changed).passed


def test_a_change_of_the_answers_is_found_with_its_rows(fitted: Baseline) -> None:
    table = stays(1_000, 4)
    moved = table.set_column(5, "score", pa.array(np.clip(table["score"].to_numpy() + 0.3, 0, 1)))

    report = judged(fitted, moved)

    one = next(one for one in report.violations if one.feature_name == "score")
    assert one.constraint_check_type == "prediction_drift_check"
    assert one.row_count > 0
    assert len(report.rows(one, limit=5)) == 5


def test_new_words_are_found_and_no_word_is_told(fitted: Baseline) -> None:
    table = stays(1_000, 5)
    words = pc_replace(table["review"], "good|bad", "blockchain")

    report = judged(fitted, table.set_column(4, "review", words))

    cause = causes(report)["review: text_drift_check"]
    assert cause.startswith("share of unknown words")
    assert "blockchain" not in json.dumps(report.to_dict())


def pc_replace(column: pa.ChunkedArray, pattern: str, word: str) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.replace_substring_regex(column, pattern, word)


def vectors(count: int, seed: int, turn: bool = False) -> pa.Table:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, 32)) * np.geomspace(5, 0.1, 32)
    if turn:
        # The same directions for every call: an orthogonal matrix.
        found = found @ np.linalg.qr(np.random.default_rng(9).normal(size=(32, 32)))[0]
    return pa.table({"embedding": found.tolist()})


def test_a_rotated_embedding_is_found() -> None:
    baseline = Baseline.fit(vectors(3_000, 0))

    turned = judged(baseline, vectors(600, 1, turn=True))

    assert "embedding: embedding_drift_check" in causes(turned)
    assert judged(baseline, vectors(600, 2)).passed


def test_lost_classes_of_images_are_found_in_real_ones() -> None:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.data))
    images, digit = data.data[order], data.target[order]
    baseline = Baseline.fit(pa.table({"image": images[:900].tolist()}))

    same = judged(baseline, pa.table({"image": images[900:].tolist()}))
    fewer = judged(baseline, pa.table({"image": images[900:][digit[900:] < 5].tolist()}))

    assert same.passed
    assert "image: embedding_drift_check" in causes(fewer)


def test_a_shuffled_column_of_real_data_is_named() -> None:
    table = load_breast_cancer(as_frame=True).data
    table = table.iloc[np.random.default_rng(0).permutation(len(table))]
    baseline = Baseline.fit(table.iloc[:285])
    window = table.iloc[285:].copy()

    assert judged(baseline, window).passed
    window["mean area"] = np.random.default_rng(1).permutation(window["mean area"])
    report = judged(baseline, window)

    pairs = [one for one in report.violations if one.constraint_check_type.startswith("corr")]
    assert pairs
    assert all("mean area" in one.feature_name for one in pairs)


def test_levels_of_texts_stand_in_quotes_in_the_cause_alone(fitted: Baseline) -> None:
    table = stays(2_000, 6)
    mixed = np.random.default_rng(1).permutation(table["plan"].to_pylist())

    report = judged(fitted, table.set_column(3, "plan", pa.array(mixed)))

    one = next(one for one in report.violations if "plan" in one.feature_name)
    assert one.feature_name in ("income × plan", "limit × plan")
    assert 'plan = "' in one.cause
    assert "basic" not in one.plain_cause
    assert "plus" not in one.plain_cause


def test_few_rows_are_too_little_and_no_pass(fitted: Baseline) -> None:
    report = judged(fitted, stays(20, 7))

    assert not report.decided
    assert report.insufficient_data
    assert not judged(fitted, stays(0, 7)).decided


def test_a_baseline_without_sample_says_what_is_missing(fitted: Baseline) -> None:
    with pytest.raises(InputError, match="holds no sample of its rows"):
        judged(replace(fitted, sample=None), stays(500, 8))


def test_data_of_other_columns_are_refused(fitted: Baseline) -> None:
    with pytest.raises(InputError, match="none of the baseline's columns"):
        judged(fitted, pd.DataFrame({"other": range(500)}))


def test_the_report_is_the_same_each_time_and_of_plain_json(fitted: Baseline) -> None:
    first, again = (judged(fitted, stays(1_000, 1, rho=0.0)) for _ in range(2))

    assert first.to_dict() == again.to_dict()
    assert json.loads(first.documents()["report.json"])["kind"] == "joint"
    assert "income" in first.html()


def test_datapoints_give_one_number_of_each_question(fitted: Baseline) -> None:
    start = datetime(2026, 2, 1, tzinfo=UTC)
    window = Window(start, start + timedelta(days=1))
    report = kind_named("joint").evaluate(question(fitted, stays(600, 3), window))

    points = report.datapoints(monitor="m", endpoint="e", execution_id="x")

    names = {one.name for one in points}
    assert {
        "joint_correlation_ratio", "joint_reconstruction_error", "joint_domain_auc",
        "joint_share_ratio", "violations",
    } <= names  # fmt: skip


def test_a_column_that_the_data_lack_is_left_out_and_named(fitted: Baseline) -> None:
    whole = stays(1_000, 1, rho=0.0)

    lacking = judged(fitted, stays(1_000, 2).drop(["age", "plan", "review", "score"]))
    changed = judged(fitted, whole.drop(["age", "review"]))

    # Data quality says that columns are missing; of those that came nothing has changed.
    assert lacking.violations == ()
    assert lacking.details["missing_columns"] == ["age", "plan", "review", "score"]
    told = {one.name: one.note for one in lacking.metrics if not one.judged}
    assert told["text_drift"] == told["prediction_drift"] == "insufficient_data"
    assert changed.violations[0].feature_name == "income × limit"
    assert "age" not in json.dumps(changed.details["domain_columns"])


def test_a_vector_that_lacks_a_column_is_left_out_as_a_whole() -> None:
    def laid_out(count: int, seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        columns = {f"emb_{at}": rng.normal(size=count) for at in range(64)}
        return pa.table(
            {**columns, "age": rng.normal(40, 9, count), "size": rng.normal(size=count)}
        )

    baseline = Baseline.fit(laid_out(2_000, 0))

    report = judged(baseline, laid_out(500, 1).drop(["emb_5"]))

    assert report.violations == ()
    assert report.details["missing_columns"] == ["emb_5"]
    assert report.details["missing_note"] == "not looked at, as the data lack 1 column: emb_5"
    assert next(one for one in report.metrics if one.name == "embedding_drift").note
