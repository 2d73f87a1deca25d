"""The scores of captured rows, written while they are exported."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.outliers.scorer import RowScorer, row_scorer
from driftline.monitors.kinds.outliers.writing import ENDINGS, captured_rows, write_scored
from driftline.monitors.results.violation import plural


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What rows are scored by, and where they go."""

    baseline: Baseline
    scorer: RowScorer
    file: str


class ExportScores:
    """Keeps the lines of an export until all are there, and then scores their rows.

    Lines are kept in a file that only this user can read, and that goes at the end.
    """

    def __init__(self, baseline: str | None, file: str | None) -> None:
        if (baseline is None) != (file is None):
            raise InputError("--scores BASELINE and --scores-to FILE belong together; give both")
        self._wanted: _Wanted | None = None
        if baseline is not None and file is not None:
            if Path(file).suffix not in ENDINGS:
                expected = " or ".join(ENDINGS)
                raise InputError(f'--scores-to "{file}": expected a file that ends in {expected}')
            opened = Baseline.load(baseline)
            self._wanted = _Wanted(opened, row_scorer(opened), file)
        self._kept = tempfile.NamedTemporaryFile(suffix=".jsonl")  # noqa: SIM115 - see __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def keep(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Hand lines on."""
        for line in lines:
            if self._wanted is not None:
                self._kept.write(line + b"\n")
            yield line

    def finish(self, advance: Callable[[int, int | None], None]) -> dict[str, Any]:
        """Write all rows that were kept; give what was found, nothing when none was asked for."""
        if self._wanted is None:
            return {}
        self._kept.flush()
        found = {"file": self._wanted.file, "rows": 0, "outliers": 0}
        if self._kept.tell():
            source, rows = captured_rows(self._kept.name, self._wanted.baseline.signature)
            for scored in write_scored(rows, self._wanted.scorer, self._wanted.file):
                found |= {"rows": scored.row_count, "outliers": scored.outlier_count}
                advance(scored.row_count, source.row_count)
        return {"scores": found}


def told(scores: dict[str, Any]) -> str:
    """Return what was scored."""
    if not scores["rows"]:
        return f"no rows to score; {scores['file']} is as it was"
    return (
        f"{plural(scores['rows'], 'row')} scored in {scores['file']}, "
        f"{plural(scores['outliers'], 'outlier')}"
    )
