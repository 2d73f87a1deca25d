"""Variants of a model side by side: files, captured rows with labels, and the command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.capture.labels.labels import put
from driftline.errors import InputError
from tests.monitors.conftest import DAY, START, append_day


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
    assert found.summary == ("not decided which variant has the higher n (9,000 rows): C is worse")
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
        ({"metric": "auc"}, 'no column "auc".*; expected a mean over rows .accuracy'),
        ({"costs": "BAD", "metric": "cost"}, "costs BAD: neither JSON nor a file; expected"),
        ({"costs": {"fp": 1}}, 'costs with metric "brier"; expected metric="cost"'),
        ({"metric": "cost"}, r"no column \"cost\"; for what answers cost, give their prices"),
        ({"metric": "Acuracy"}, 'no column "Acuracy"'),
        ({"by": "variants"}, r'\(did you mean "variant"\?\); name'),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_sentence(
    base: dl.Baseline, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        frame = answers(100, 5).assign(lists=[[1]] * 100)
        dl.compare(frame, base, **{"metric": "brier", **change})  # type: ignore[arg-type]


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


def test_captured_rows_are_compared_by_the_labels_that_came(base: dl.Baseline, root: str) -> None:
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
