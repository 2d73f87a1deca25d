"""What columns hold that makes no row an outlier, and is told of all rows at once.

A reference of n rows can call nothing rarer than one row in 2n: a text that it never had, or a
missing value, makes a row odd, but alone no outlier. Where a column has no value in any row, or
more such texts than chance brings, that is said, so that no share of outliers stands for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special, stats

from driftline.baseline.predicate import UNFIT, Predicate
from driftline.baseline.texts import shortened
from driftline.formats.coercion import coerce, is_missing
from driftline.monitors.kinds.outliers.levels import LevelTerms
from driftline.monitors.kinds.outliers.scorer import RowScorer
from driftline.monitors.kinds.outliers.terms import NumberTerms
from driftline.monitors.results.violation import percent, plural
from driftline.stats.intervals import wilson

# Rarer than this, more new texts are not by chance.
RARE = 1e-3
# Columns, and texts of each, that are named.
NAMED, WORDS = 4, 3
# So many texts of a column are kept, to name a few of them: five million ids need no memory.
# `LevelCounts` would name none where all come once.
KEPT = 1_000


@dataclass(slots=True)
class NewTexts:
    """Texts of a column that the reference never had: how many rows, and frequent ones of them.

    A text that is rare in each part of the rows may be missing, however many parts have it.
    """

    count: int = 0
    frequent: Counter[str] = field(default_factory=Counter)
    is_cut: bool = False  # Whether there were more than are kept.

    def add(self, texts: Mapping[str, int]) -> None:
        """Count texts; of more than are kept the rarest go, of equal ones the last in order."""
        self.count += sum(texts.values())
        self.frequent.update(texts)
        if len(self.frequent) > KEPT:
            self.frequent = Counter(dict(self.ranked()[:KEPT]))
            self.is_cut = True

    def merge(self, other: NewTexts) -> NewTexts:
        """Return what is known of both."""
        found = NewTexts(self.count, Counter(self.frequent), self.is_cut or other.is_cut)
        found.add(other.frequent)
        found.count = self.count + other.count
        return found

    def ranked(self) -> list[tuple[str, int]]:
        """Return the texts, most frequent first."""
        return sorted(self.frequent.items(), key=lambda pair: (-pair[1], pair[0]))


@dataclass(slots=True)
class UnseenValues:
    """Counts over some rows; grows by `update`, adds up by `merge`."""

    rows: Counter[str] = field(default_factory=Counter)  # By column, where it came.
    empty: Counter[str] = field(default_factory=Counter)  # Of them, without a value.
    unfit: Counter[str] = field(default_factory=Counter)  # Of another type.
    # Texts that the reference never had, by column; of columns that mostly have new ones, none.
    texts: dict[str, NewTexts] = field(default_factory=dict)

    def update(self, scorer: RowScorer, batch: pa.RecordBatch) -> None:
        """Look at rows."""
        terms: list[NumberTerms | LevelTerms] = [*scorer.numbers, *scorer.levels]
        for one in terms:
            name = one.column
            if name not in batch.schema.names:
                continue
            plain, lost = coerce(batch.column(name), one.cells.type)
            if lost or UNFIT in batch.schema.names:
                lost = int(
                    pc.sum(Predicate(name, "unfit", one.cells.type).mask(batch)).as_py() or 0
                )
            self.rows[name] += len(plain)
            self.unfit[name] += lost
            self.empty[name] += int(pc.sum(is_missing(plain)).as_py() or 0) - lost
            if isinstance(one, LevelTerms) and one.knows_all:
                self.texts.setdefault(name, NewTexts()).add(_new_texts(one, plain))

    def merge(self, other: UnseenValues) -> UnseenValues:
        """Return what is known of the rows of both."""
        texts = {
            name: self.texts.get(name, NewTexts()).merge(other.texts.get(name, NewTexts()))
            for name in {**self.texts, **other.texts}
        }
        return UnseenValues(
            self.rows + other.rows, self.empty + other.empty, self.unfit + other.unfit, texts
        )

    def without_values(self) -> dict[str, str]:
        """Return the columns without a value in any row, each with what it has instead."""
        found = {}
        for name, rows in self.rows.items():
            if rows and self.empty[name] + self.unfit[name] == rows:
                found[name] = "no row has a value" if not self.unfit[name] else (
                    f"{plural(self.unfit[name], 'value')} of another type"
                )  # fmt: skip
        return found

    def new_texts(self, scorer: RowScorer) -> Iterator[str]:
        """Name the columns with more texts that the reference never had than chance brings."""
        for one in scorer.levels:
            found, rows = self.texts.get(one.column, NewTexts()), self.rows[one.column]
            count = found.count
            if not count:
                continue
            known = int(one.counts.sum())
            once = int(np.count_nonzero(one.counts == 1))
            most = wilson(once, known, -float(special.ndtri(RARE)))[1]
            if count <= stats.binom.isf(RARE, rows, most):
                continue
            ranked = found.ranked()
            words = ", ".join(f'"{text}"' for text, _ in ranked[:WORDS])
            least = "at least " * found.is_cut
            more = f" and {least}{len(ranked) - WORDS:,} more" * (len(ranked) > WORDS)
            yield f"{one.column} in {percent(count / rows)} of rows ({words}{more})"


def _new_texts(one: LevelTerms, plain: pa.Array) -> dict[str, int]:
    counted = pc.value_counts(plain.cast(pa.string()).drop_null())
    texts, counts = counted.field("values"), counted.field("counts")
    known = pc.is_in(shortened(texts), value_set=one.values)
    new = pc.invert(pc.or_(known, pc.equal(texts, "")))
    return dict(
        zip(shortened(texts.filter(new)).to_pylist(), counts.filter(new).to_pylist(), strict=True)
    )
