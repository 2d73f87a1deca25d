"""What stands for embeddings and free text: projections, traits, words that are unknown."""

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.derived import Projection, TextTraits, Vocabulary, words_of
from driftline.baseline.derived_rows import derive
from driftline.baseline.folder import from_ipc
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


def test_a_dimension_of_great_spread_weighs_no_more_than_others() -> None:
    spread = np.ones(50)
    spread[7] = 3.0

    weights = Projection.of("e", 50, spread).weights

    assert np.linalg.norm(weights[7]) * 3 == pytest.approx(
        np.linalg.norm(weights, axis=1).mean(), rel=0.5
    )


@pytest.mark.parametrize("spread", [0.0, 1e-200])
def test_vectors_that_are_all_alike_in_the_reference_are_seen_and_so_is_their_change(
    spread: float,
) -> None:
    alike = Projection.of("e", 768, np.full(768, spread))
    other = np.random.default_rng(3).normal(size=(1, 768))

    seen = alike.values(pa.array([[5.0] * 768, *other.tolist()]))

    assert np.isfinite(seen).all()
    assert not np.allclose(seen[0], seen[1])


@pytest.mark.parametrize("spread", [1e200, 1e308, np.inf])
def test_vectors_beyond_float32_are_none(spread: float) -> None:
    seen = Projection.of("e", 3, np.array([spread, 1.0, np.nan])).values(
        pa.array([[1e200, 0.0, 0.0], [1.0, 2.0, 3.0]])
    )

    assert np.isnan(seen).all(axis=1).tolist() == [True, False]


def test_lists_of_other_lengths_and_gaps_have_no_projection() -> None:
    seen = Projection.of("e", 2, np.ones(2)).values(
        pa.array([[1.0, 2.0], [1.0], None, [3.0, None], [0.0, 0.0]])
    )

    assert np.isnan(seen).all(axis=1).tolist() == [False, True, True, True, False]
    assert seen[0, -1] == pytest.approx(np.sqrt(5))


def test_traits_of_texts() -> None:
    found = TextTraits("t").values(pa.array(["Ab 12!", None]))

    assert found[0].tolist() == pytest.approx([6, 2, 2 / 6, 1 / 6, 1 / 6])
    assert np.isnan(found[1]).all()


def test_words_are_told_apart_without_regard_to_capitals() -> None:
    hashes, rows = words_of(pa.array(["One two, ONE", None, "", "two"]))

    assert rows.tolist() == [0, 0, 0, 3]
    assert hashes[0] == hashes[2] != hashes[1] == hashes[3]


def test_a_word_counts_as_unknown_when_no_other_block_holds_it() -> None:
    words, shares = Vocabulary.learn(pa.array(TEXTS), np.arange(5))

    # Known by others: "the" and "sat"; unknown: cat, dog, a, zebra.
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, np.nan, 1.0, 0.0], rtol=1e-6)
    same_day = Vocabulary.learn(pa.array(TEXTS), np.array([0, 0, 0, 0, 1]))[1]
    np.testing.assert_allclose(same_day[:2], [2 / 3, 2 / 3], rtol=1e-6)
    unknown = words.unknown(pa.array(["the unicorn", "unicorn", ""]))
    np.testing.assert_allclose(unknown, [0.5, 1.0, np.nan])


def test_a_rich_vocabulary_looks_at_the_same_words_on_both_sides(monkeypatch) -> None:
    monkeypatch.setattr("driftline.baseline.derived.WORDS_MAX", 100)
    texts = pa.array([f"w{at} w{at + 1}" for at in range(1000)])

    words, _ = Vocabulary.learn(texts, np.arange(1000))

    assert 95 < len(words.hashes) <= 100  # Of what is kept of a hash two may be alike.
    known = words.unknown(texts)
    assert known[~np.isnan(known)].max() == 0


def test_what_is_kept_of_hashes_tells_unknown_words() -> None:
    texts = pa.array([f"known{at}" for at in range(20_000)])

    words, _ = Vocabulary.learn(texts, np.arange(20_000))

    assert len(words.hashes) <= 10_000
    unknown = words.unknown(pa.array([f"new{at}" for at in range(5_000)]))
    assert np.nanmean(unknown) > 0.98


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
        again.sample.derived.vocabularies["t"].hashes,
        baseline.sample.derived.vocabularies["t"].hashes,
    )
    for name, codes in baseline.sample.derived.codes.items():
        np.testing.assert_array_equal(again.sample.derived.codes[name], codes)


def test_columns_that_are_numbered_through_are_one_vector() -> None:
    block = np.random.default_rng(0).normal(size=(300, 64))
    apart = {f"emb_{at}": block[:, at] for at in range(64)}
    few = {f"v{at}": block[:, at] for at in range(28)}

    one = Baseline.fit(pa.table({**apart, **few})).sample.derived
    whole = Baseline.fit(pa.table({"e": block.tolist()})).sample.derived

    assert set(one.sources.values()) == {"emb_"}
    # Laid out in columns or in lists, a vector is seen alike.
    for at in range(1, 33):
        np.testing.assert_array_equal(one.codes[f"emb_·{at}"], whole.codes[f"e·{at}"])


def test_no_text_of_the_rows_lies_in_the_sample(tmp_path) -> None:
    Baseline.fit(pa.table({"t": [f"secretword{at} common" for at in range(6000)]})).save(tmp_path)

    found = from_ipc((tmp_path / "sample.arrow").read_bytes())

    kinds = {one.name: one.type for one in found.schema}
    assert kinds.pop("words") == pa.list_(pa.uint8())  # Hashes.
    assert all(pa.types.is_integer(one) for one in kinds.values())
    assert b"secretword" not in b"".join(found.schema.metadata.values())
