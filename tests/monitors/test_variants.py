"""Variants of a model side by side: files, captured rows with labels, and the command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.capture.labels.labels import put
from driftline.errors import InputError
from tests.monitors.conftest import DAY, START, append_day
from tests.servers.commands import driftline


def answers(rows: int, seed: int, *, blunt: str = "") -> pd.DataFrame:
    """Rows of two variants whose probabilities fit, but for those of the one that is blunt."""
    random = np.random.default_rng(seed)
    x, variant = random.normal(size=rows), random.choice(["blue", "green"], rows, p=[0.8, 0.2])
    late = random.random(rows) < 1 / (1 + np.exp(-2 * x))
    chance = 1 / (1 + np.exp(-2 * x * np.where(variant == blunt, 0.1, 1.0)))
    return pd.DataFrame({"x": x, "late": late, "chance": chance, "variant": variant})


@pytest.fixture(scope="module")
def base() -> dl.Baseline:
    frame = answers(2_000, 1).drop(columns="variant")
    return dl.Baseline.fit(frame, label="late", probability="chance", positive="true")


@pytest.mark.parametrize(
    ("metric", "blunt", "within", "decision", "winner"),
    [
        ("brier", "blue", None, "winner", "green"),
        ("brier", "green", None, "winner", "blue"),
        ("brier", "", None, "undecided", None),
        ("brier", "", 0.05, "no difference", None),
        ("x", "blue", None, "undecided", None),
    ],
)
def test_a_period_has_a_winner_no_difference_or_neither(
    base: dl.Baseline, metric: str, blunt: str, within: float, decision: str, winner: str | None
) -> None:
    found = dl.compare(answers(8_000, 2, blunt=blunt), base, metric=metric, margin=within)

    assert (found.decision, found.winner) == (decision, winner)
    worse = "" if winner is None else f": {'blue' if winner == 'green' else 'green'} is worse"
    assert found.summary.endswith(f"(8,000 rows){worse}")
    assert sum(one.rows for one in found.variants) == 8_000
    assert [one.variant for one in found.variants] == ["blue", "green"]


def test_a_variant_that_is_surely_worse_is_named_while_two_others_are_open() -> None:
    random = np.random.default_rng(5)
    variant = np.tile(["A", "B", "C"], 3_000)
    frame = pd.DataFrame({"variant": variant, "n": random.normal(size=9_000) - (variant == "C")})

    found = dl.compare(frame, metric="n")

    assert found.decision == "undecided"
    assert found.summary == (
        "not yet decided which variant has the higher n; C surely not (9,000 rows)"
    )
    assert found.to_dict()["worse"] == ["C"]


def test_measures_are_those_of_the_rows(base: dl.Baseline) -> None:
    frame = answers(1_000, 3).astype({"late": object})
    frame.loc[:9, "late"] = None
    green = frame[(frame.variant == "green") & frame.late.notna()]
    truth = green.late.astype(float)

    accuracy, brier = (dl.compare(frame, base, metric=one) for one in ("accuracy", "brier"))

    assert accuracy.left_out == brier.left_out == 10
    assert accuracy.variants[1].mean == pytest.approx(((green.chance > 0.5) == truth).mean())
    assert brier.variants[1].mean == pytest.approx(((green.chance - truth) ** 2).mean())
    assert any("left out" in line for line in accuracy.lines)


@pytest.mark.parametrize(
    ("mean", "said"),
    [(0.0840131, "0.084"), (-133.724, "-134"), (20_512.4, "20,500"), (0.117683, "0.118")],
)
def test_means_are_written_with_three_figures(mean: float, said: str) -> None:
    values = np.tile([mean - 1e-9, mean + 1e-9], 200)
    found = dl.compare(
        pd.DataFrame({"variant": ["A", "A", "B", "B"] * 100, "n": values}), metric="n"
    )

    assert "n: higher is better" in found.lines
    assert f"A: n {said} (200 rows)" in found.lines


def test_means_that_are_near_each_other_have_the_figures_that_tell_them_apart() -> None:
    values = np.tile([1_200.4, 1_200.6, 1_197.4, 1_197.6], 100)
    found = dl.compare(
        pd.DataFrame({"variant": ["A", "A", "B", "B"] * 100, "n": values}), metric="n"
    )

    assert "A: n 1200.5 (200 rows)" in found.lines
    assert "B: n 1197.5 (200 rows)" in found.lines


def test_empty_text_is_no_variant_no_label_and_no_cluster() -> None:
    random = np.random.default_rng(6)
    truth = random.choice(["no", "yes"], 3_000)
    said = np.where(random.random(3_000) < 0.8, truth, "no")
    frame = pd.DataFrame({"truth": truth, "said": said, "variant": ["A", "B", "C"] * 1_000})
    roles = {"label": "truth", "prediction": "said", "positive": "yes"}
    base = dl.Baseline.fit(frame[["truth", "said"]], **roles)
    frame.loc[frame.variant == "C", "variant"] = ""
    frame.loc[:299, "truth"] = ""

    found = dl.compare(frame.assign(key=""), base, metric="accuracy", cluster="key")

    assert [(one.variant, one.rows, one.units) for one in found.variants] == [
        ("A", 900, 900), ("B", 900, 900),
    ]  # fmt: skip
    assert found.left_out == 1_200


def test_errors_of_numbers_are_compared() -> None:
    random = np.random.default_rng(4)
    variant = random.choice(["a", "b", "c"], 9_000)
    y = random.normal(size=9_000)
    said = y + random.normal(0, np.where(variant == "b", 0.5, 1.0))
    frame = pd.DataFrame({"y": y, "said": said, "variant": variant})
    base = dl.Baseline.fit(frame[["y", "said"]], label="y", prediction="said")

    found = dl.compare(frame, base, metric="mae")

    assert (found.decision, found.winner) == ("winner", "b")
    assert len(found.differences) == 3
    b = frame[variant == "b"]
    assert found.variants[1].mean == pytest.approx((b.y - b.said).abs().mean())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"metric": "mae"}, 'expected accuracy or brier, or a column'),
        ({"metric": "speed"}, 'the data have no column "speed"'),
        ({"by": "x"}, "expected 2 to 20"),
        ({"better": "more"}, 'expected "higher" or "lower"'),
        ({"margin": 0}, "expected a number above 0"),
        ({"margin": "x"}, "expected a number above 0"),
        ({"alpha": "x"}, "expected a chance between 0 and 0.5"),
        ({"start": "soon"}, "start 'soon'; expected a time such as"),
        ({"by": "lists"}, 'column "lists" holds list.*; expected texts, numbers or truth values'),
        ({"cluster": "lists"}, 'column "lists" holds list'),
        ({"timestamp": "variant"}, 'column "variant" holds no time that can be read'),
        ({"alpha": 5}, "expected a chance between 0 and 0.5"),
        ({"start": START}, "no column has times"),
        ({"metric": "auc"}, '"auc" is no mean over rows and cannot be compared; expected accuracy'),
        ({"costs": "BAD", "metric": "cost"}, "costs BAD: neither JSON nor a file; expected"),
        ({"costs": {"fp": 1}}, 'costs with metric "brier"; expected metric="cost"'),
        ({"metric": "cost"}, r"no column \"cost\"; for what answers cost, give their prices"),
        ({"metric": "Acuracy"}, r'no column "Acuracy", nor is that a measure \(did you mean "ac'),
        ({"by": "variants"}, r'which would name the variant .*\(did you mean "variant"\?\); name'),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_sentence(
    base: dl.Baseline, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        frame = answers(100, 5).assign(lists=[[1]] * 100)
        dl.compare(frame, base, **{"metric": "brier", **change})  # type: ignore[arg-type]


def test_labels_in_words_are_named_where_the_baseline_has_numbers() -> None:
    frame = answers(300, 5).assign(late=lambda rows: rows["late"].astype(int))
    numbers = dl.Baseline.fit(frame, label="late", probability="chance")
    words = frame.assign(late=frame["late"].map({0: "low", 1: "high"}))
    often = {text: int((words["late"] == text).sum()) for text in ("low", "high")}

    with pytest.raises(InputError, match=r'numbers where the data have "late" = ') as told:
        dl.compare(words, numbers, metric="brier")

    assert all(f'"late" = "{text}" ({count}x)' in str(told.value) for text, count in often.items())


def test_variants_are_compared_by_what_their_answers_cost(base: dl.Baseline) -> None:
    frame = answers(20_000, 4)
    turned = (frame["variant"] == "blue") & (frame.index % 3 == 0)
    frame["chance"] = frame["chance"].where(~turned, 1 - frame["chance"])

    found = dl.compare(frame, base, metric="cost", costs={"fp": 1, "fn": 10})

    assert (found.decision, found.winner, found.better) == ("winner", "green", "lower")
    for one in found.variants:
        own = frame[frame["variant"] == one.variant]
        wrong = 10 * (own["late"] & (own["chance"] <= 0.5)) + (~own["late"] & (own["chance"] > 0.5))
        assert one.mean == pytest.approx(wrong.mean())


def rows(*parts: tuple[str, int, list[float]]) -> pd.DataFrame:
    """Rows of a variant on a day of January, each part's over and over."""
    return pd.DataFrame(
        [(variant, START + day * DAY, value) for variant, day, part in parts for value in part],
        columns=["variant", "t", "m"],
    )


@pytest.mark.parametrize(
    ("frame", "alpha", "why"),
    [
        # Each has 1,000 rows, but only four lie on a day with both; or 2 beside 1,000.
        (
            rows(
                ("a", 0, [0, 1] * 500), ("b", 1, [0, 1] * 500),
                ("a", 2, [0, 0.001]), ("b", 2, [1, 1.001]),
            ),
            0.05, "fewer than 100 requests of one of them on days with both",
        ),
        (
            rows(
                ("a", 0, [0, 0.001] * 500), ("b", 0, [1, 1.001]),
                ("b", 1, [1, 1.001] * 500), ("a", 1, [0, 0.001]),
            ),
            0.05, "fewer than 100 requests of one of them on days with both",
        ),
        (rows(("a", 0, [0] * 200), ("b", 0, [1] * 200)), 0.05, "no variation within either"),
        (rows(("a", 0, [0, 1] * 99), ("b", 0, [8, 9] * 99)), 1e-200, "limits are not finite"),
    ],
)  # fmt: skip
def test_nothing_is_decided_by_limits_that_do_not_hold(
    frame: pd.DataFrame, alpha: float, why: str
) -> None:
    found = dl.compare(frame, metric="m", timestamp="t", alpha=alpha)

    assert found.decision == "undecided"
    assert why in found.differences[0].why_not


def test_values_too_large_to_square_are_left_out() -> None:
    frame = rows(("a", 0, [0, 1] * 200), ("b", 0, [0, 1] * 200), ("b", 0, [1e308, -1e200]))

    found = dl.compare(frame, metric="m")

    assert (found.left_out, found.variants[1].mean) == (2, 0.5)


def test_variants_come_by_name_and_periods_as_texts_or_dates() -> None:
    frame = rows(("b", 1, [1, 2] * 100), ("a", 1, [0, 1] * 100), ("a", 2, [5]), ("c", 0, [5]))
    start, end = START + DAY, (START + 2 * DAY)

    told = [
        dl.compare(frame, metric="m", timestamp="t", start=one, end=other)
        for one, other in ((start, end), (f"{start}", end.isoformat()), (start.date(), end.date()))
    ]

    assert told[0] == told[1] == told[2]
    assert [one.variant for one in told[0].variants] == ["a", "b"]
    assert told[0].differences[0].difference == 1


def test_values_that_never_vary_are_told_at_once() -> None:
    found = dl.compare(rows(("a", 0, [0] * 200), ("b", 0, [1] * 200)), metric="m", timestamp="t")

    assert found.summary == (
        "cannot be decided: m does not vary within any variant (a 0, b 1), and more such rows "
        "decide nothing (400 rows)"
    )


def test_quality_without_a_baseline_is_one_sentence() -> None:
    with pytest.raises(InputError, match="takes a baseline that was made with label"):
        dl.compare(answers(100, 5), metric="accuracy")


def test_captured_rows_are_compared_by_the_labels_that_came(
    base: dl.Baseline, root: str, tmp_path: Path
) -> None:
    frame = answers(4_000, 6, blunt="blue")
    for day, part in enumerate((frame[:2_000], frame[2_000:])):
        rows = {name: part[name].to_numpy() for name in ("x", "chance", "variant")}
        # Two rows a request, of one variant: the first one's.
        rows["event_id"] = np.array([f"{day}-{at // 2}" for at in range(2_000)])
        rows["row_index"] = np.arange(2_000) % 2
        rows["variant"] = np.repeat(rows["variant"][::2], 2)
        append_day(root, base.signature, day, rows)
        labels = {
            "key": rows["event_id"], "row_index": rows["row_index"],
            "label": part.late.astype(str).str.lower().to_numpy(),
        }  # fmt: skip
        put(root, "flights", pa.table(labels), lambda: datetime(2024, 2, 1, tzinfo=UTC))
    base.save(tmp_path / "base")
    place = f"{root}/capture/flights"

    whole = dl.compare(place, base, metric="brier")
    first = dl.compare(place, base, metric="brier", end=START + DAY)

    assert sum(one.rows for one in whole.variants) == 4_000
    assert sum(one.units for one in whole.variants) == 2_000
    assert sum(one.rows for one in first.variants) == 2_000
    # The same rows from a file, by the same units and days.
    times = [START + (at // 2_000) * DAY + timedelta(minutes=at % 1_440) for at in range(4_000)]
    units = [f"{at // 2}" for at in range(4_000)]
    same = frame.assign(variant=np.repeat(frame.variant[::2].to_numpy(), 2), t=times, u=units)
    told = dl.compare(same, base, metric="brier", cluster="u", timestamp="t")
    (one,), (other,) = told.differences, whole.differences
    assert (one.difference, one.low, one.units) == pytest.approx(
        (other.difference, other.low, other.units)
    )

    asked = ("compare", place, "--baseline", str(tmp_path / "base"), "--metric", "brier")
    done = driftline(*asked, "--json")
    assert json.loads(done.stdout) == json.loads(json.dumps(whole.to_dict()))
    assert done.returncode == (3 if whole.decision == "undecided" else 0), done.stderr
