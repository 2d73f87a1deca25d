"""What stands for embeddings and free text: projections, traits, words that are unknown."""

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.derived import Projection, TextTraits, learn_words, unknown_words
from driftline.baseline.derived_rows import derive
from driftline.baseline.store import Baseline

TEXTS = ["the cat sat", "the dog sat", None, "a zebra!", "the the THE"]


def lists(count: int = 400, seed: int = 0) -> list[list[float]]:
    return np.random.default_rng(seed).normal(size=(count, 24)).tolist()


def reviews(count: int = 400) -> list[str]:
    words = np.array([f"word{at}" for at in range(60)])
    rng = np.random.default_rng(1)
    return [" ".join(words[rng.integers(0, 60, 8)]) + f" {at}" for at in range(count)]


def texts(values: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"t": values})


def test_projections_keep_distances_on_average() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(2, 500))
    spread = np.ones(500)

    seen = Projection.of("e", 500, spread).values(pa.array(points.tolist()))[:, :-1]

    # Johnson and Lindenstrauss: the mean square of 32 projections has relative deviation 1/4.
    expected = np.sum((points[0] - points[1]) ** 2) / 500
    assert np.mean((seen[0] - seen[1]) ** 2) == pytest.approx(expected, rel=6 / 4)
    assert np.mean((seen[0] - seen[1]) ** 2) > expected / 8


def test_a_word_counts_as_unknown_when_no_other_block_holds_it() -> None:
    words, shares = learn_words(pa.array(TEXTS), np.arange(5))

    # Known by others: "the" and "sat"; unknown: cat, dog, a, zebra.
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, np.nan, 1.0, 0.0], rtol=1e-6)
    same_day = learn_words(pa.array(TEXTS), np.array([0, 0, 0, 0, 1]))[1]
    np.testing.assert_allclose(same_day[:2], [2 / 3, 2 / 3], rtol=1e-6)
    unknown = unknown_words(pa.array(["the unicorn", "unicorn", ""]), words)
    np.testing.assert_allclose(unknown, [0.5, 1.0, np.nan])


def test_a_window_is_coded_on_the_cells_of_the_reference() -> None:
    one = TextTraits("t")
    reference = derive({one: one.kept(texts(reviews()))}, None, None)

    found = derive({one: one.kept(texts(["no such thing"] * 3))}, None, reference)

    assert found.cells == reference.cells
    cell = found.cells["t·unknown words"]
    assert {cell.describe(code) for code in found.codes["t·unknown words"]} == {
        cell.describe(cell.assign(pa.array([1.0]))[0])
    }


def test_a_baseline_keeps_what_stands_for_embeddings_and_texts(tmp_path) -> None:
    table = pa.table({"e": lists(), "t": reviews(), "k": ["a", "b"] * 200})
    baseline = Baseline.fit(table)
    baseline.save(tmp_path)

    again = Baseline.load(tmp_path)

    assert again.version == baseline.version
    assert set(again.sample.derived.sources.values()) == {"e", "t"}
    assert again.sample.derived.cells == baseline.sample.derived.cells
    np.testing.assert_array_equal(
        again.sample.derived.vocabularies["t"],
        baseline.sample.derived.vocabularies["t"],
    )
    for name, codes in baseline.sample.derived.codes.items():
        np.testing.assert_array_equal(again.sample.derived.codes[name], codes)
