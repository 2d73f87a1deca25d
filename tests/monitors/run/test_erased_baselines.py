"""Erased rows leave every version of a baseline that keeps them, whatever it was made of."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.baseline.versions import erase_rows
from driftline.capture.erasure.erasures import record_removed, removed_folder
from driftline.capture.erasure.pending import begin_clearing, end_clearing
from driftline.capture.labels.labels import put
from driftline.capture.windows.window import Window
from driftline.errors import ConflictError, InputError
from driftline.monitors.check import check
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.run.captured_baseline import (
    captured_rows,
    put_made,
    put_renewed,
    read_like,
)
from driftline.roles import Roles
from tests.monitors.conftest import DAY, START, append_day

ROWS, PERSON = 1_400, "Lovelace"
SPAN = Window(START, START + DAY)
MINUTE_US = 60_000_000
# One row a minute; this is the eighth.
ERASED = [int(START.timestamp()) * 1_000_000 + 7 * MINUTE_US]
COLUMNS = ("x", "name", "score", "flown_at")


def now():
    return START + 30 * DAY


def rows(person: str = "bob") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    score = rng.random(ROWS)
    name = rng.choice(["ada", "bob"], ROWS).astype(object)
    name[7] = person
    flown_at = np.datetime64("2019-03-05", "us") + np.arange(ROWS) * np.timedelta64(MINUTE_US, "us")
    return {"x": rng.normal(size=ROWS), "name": name.astype(str), "score": score,
            "flown_at": flown_at, "late": (rng.random(ROWS) < score).astype(int)}  # fmt: skip


@pytest.fixture
def reference(root: str) -> Baseline:
    """Capture two days, of which only the first has the person, with labels."""
    found = Baseline.fit(pa.table(rows()), label="late", probability="score", facet="name=ada")
    versions.put(root, "loans", found, lambda: START)
    for day, person in enumerate((PERSON, "bob")):
        captured = rows(person)
        append_day(root, found.signature, day, {name: captured[name] for name in COLUMNS})
    labels = pa.table({
        "key": [f"a-{at}" for at in range(ROWS)],
        "row_index": pa.array([0] * ROWS, pa.int32()),
        "label": pa.array([str(value) for value in rows()["late"]]),
    })  # fmt: skip
    put(root, "flights", labels, lambda: START + 3 * DAY)
    return found


def holders(root: str, name: str) -> list[str]:
    """Return the versions in whose kept rows the person still is."""
    found = []
    for one in versions.versions(root, name):
        baseline = versions.get(root, name, one)
        kept = [rows.table for rows in (baseline.rows, baseline.labelled) if rows is not None]
        if any(PERSON in table["name"].to_pylist() for table in kept):
            found.append(one)
    return found


def test_labelled_rows_leave_a_version_that_inherited_them(root: str, reference: Baseline) -> None:
    read = partial(read_like, root, "flights", signature=reference.signature)
    own = put_renewed(
        root, "loans", reference.version, partial(read, window=SPAN, labels=True), now,
        {"endpoint": "flights"}, labels=True,
    )  # fmt: skip
    other = put_renewed(
        root, "loans", own.version, partial(read, window=Window(SPAN.end, SPAN.end + DAY)), now,
        {"source": "s3://warehouse/loans"},
    )  # fmt: skip
    assert holders(root, "loans") == [own.version, other.version]

    erased = erase_rows(root, "Flights", ERASED)

    assert erased == 2
    assert holders(root, "loans") == []
    assert erase_rows(root, "another", ERASED) == erase_rows(root, "flights", ERASED) == 0


def test_rows_leave_a_version_with_times_of_its_own(root: str, reference: Baseline) -> None:
    source = captured_rows(root, "flights", COLUMNS, SPAN, reference.signature)
    made = Baseline.of(source, Roles(timestamp="flown_at", probability=("score",)))
    versions.put(root, "own", made, now, {"endpoint": "flights"})

    erase_rows(root, "flights", ERASED)

    assert holders(root, "own") == []
    assert versions.get(root, "own").sampled_count == ROWS - 1
    assert "driftline_captured" not in [one.name for one in made.signature.columns]


def test_rows_leave_attributions_and_what_they_are_explained_against(
    root: str, reference: Baseline
) -> None:
    def predict(table: pa.Table) -> np.ndarray:
        return np.asarray(table["x"]) * 2

    source = captured_rows(root, "flights", COLUMNS, SPAN, reference.signature)
    made = Baseline.of(source, Roles(timestamp="event_time", probability=("score",)))
    versions.put(root, "own", explain_reference(source, made, predict), now)
    day = [ERASED[0] + at * MINUTE_US for at in range(-7, ROWS - 7)]

    erase_rows(root, "flights", day)

    left = versions.get(root, "own")
    assert left.sampled_count == len(left.attributions) == 0
    data = pa.table({name: rows()[name] for name in COLUMNS})
    with pytest.raises(InputError, match="no background rows to explain against; make it again"):
        check(data, left, kind="attribution", predict=predict)


@pytest.mark.parametrize("is_under_way", [True, False])
def test_a_version_made_of_rows_that_are_erased_meanwhile_is_refused(
    root: str, reference: Baseline, is_under_way: bool
) -> None:
    def make() -> tuple[Baseline, dict[str, object]]:
        source = captured_rows(root, "flights", COLUMNS, SPAN, reference.signature)
        made = Baseline.of(source, Roles(timestamp="event_time", probability=("score",)))
        if not is_under_way:
            record_removed(removed_folder(root), "flights", [("spool", 7)], now())
            erase_rows(root, "flights", ERASED)
        return made, {"endpoint": "flights"}

    note = begin_clearing(root, "flights", ERASED, now()) if is_under_way else ""
    with pytest.raises(ConflictError, match='baseline "own": rows are being erased, or were since'):
        put_made(root, "own", make, now)

    assert not list(Path(root, "baselines", "own").glob("*"))
    if is_under_way:
        end_clearing(root, note)
        put_made(root, "own", make, now)
        assert len(versions.versions(root, "own")) == 1


def test_a_version_of_files_alone_is_made_beside_an_erasure(root: str) -> None:
    begin_clearing(root, "flights", ERASED, now())

    put_made(root, "own", lambda: (Baseline.fit(pa.table(rows())), {}), now)

    assert len(versions.versions(root, "own")) == 1
