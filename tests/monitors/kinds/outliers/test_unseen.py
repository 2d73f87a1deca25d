"""Texts that the reference never had: how many there are is known, and few of them are kept."""

from __future__ import annotations

from collections import Counter

from driftline.monitors.kinds.outliers.unseen import KEPT, NewTexts


def test_different_texts_take_no_more_room_the_more_there_are() -> None:
    found, rows = NewTexts(), 0
    for first in range(0, 500_000, 50_000):
        texts = Counter({f"id {at:07d}": 1 for at in range(first, first + 50_000)})
        texts["n/a"] += 40  # Less than one row in a thousand.
        found.add(texts)
        rows += texts.total()

    assert found.count == rows
    assert len(found.frequent) == KEPT
    assert found.is_cut
    assert found.ranked()[0] == ("n/a", 400)


def test_both_parts_of_the_rows_are_known_together() -> None:
    parts = [NewTexts(), NewTexts()]
    parts[0].add({"a": 2, "b": 1})
    parts[1].add({f"c{at}": 1 for at in range(KEPT + 5)} | {"b": 4})

    for one, other in (parts, parts[::-1]):
        found = one.merge(other)
        assert found.count == 3 + KEPT + 5 + 4
        assert found.ranked()[:2] == [("b", 5), ("a", 2)]
        assert found.is_cut
        assert len(found.frequent) == KEPT
    assert parts[0].frequent == {"a": 2, "b": 1}  # As it was.
